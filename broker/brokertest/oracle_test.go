package brokertest_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidings-go/tidings/broker/brokertest"
)

// handle issues and stores the numbers 1 to n of one key and handles those given.
func handle(n int, numbers ...int) *brokertest.Oracle {
	var o brokertest.Oracle
	for range n {
		o.Stored("k", o.Issue("k"))
	}
	for _, number := range numbers {
		o.Handled("k", number)
	}
	return &o
}

func TestOracleFinds(t *testing.T) {
	notStored := func() *brokertest.Oracle {
		o := handle(2, 1, 2)
		o.Issue("k")
		return o
	}
	excused := func(numbers ...int) *brokertest.Oracle {
		o := handle(3, numbers...)
		o.Excused("k", 2)
		o.Handled("k", 3)
		return o
	}
	thoughBetter := excused(1)
	thoughBetter.Handled("k", 2)
	keys := handle(2, 1, 2)
	keys.Stored("other", keys.Issue("other"))

	for name, c := range map[string]struct {
		oracle *brokertest.Oracle
		want   string
	}{
		"nothing in nothing":                         {handle(0), ""},
		"nothing in order":                           {handle(3, 1, 2, 3), ""},
		"nothing in a repetition":                    {handle(3, 1, 2, 1, 2, 3, 3), ""},
		"a record that was lost":                     {handle(3, 1, 2), "lost: k: 3 was stored"},
		"a gap that was never filled":                {handle(3, 1, 3), "lost: k: 2 was stored"},
		"a gap that was filled late":                 {handle(3, 1, 3, 2), "out of order: k: 2 was first handled after 3"},
		"a record that nobody published":             {handle(1, 1, 2), "foreign: k: 2 was handled"},
		"a record that can't be read":                {handle(1, 1, -1), "foreign: k: -1"},
		"nothing in an excused gap":                  {excused(1), ""},
		"nothing in an excuse that was not needed":   {excused(1, 2), ""},
		"nothing in a later handling of the excused": {thoughBetter, ""},
		"an excuse that comes too late":              {excused(1, 3), "out of order: k: 2 was first given up on after 3"},
		"nothing if what is missing was not stored":  {notStored(), ""},
		"a loss of one key though others are intact": {keys, "lost: other: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.oracle.Check().Err()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("found %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("found %v, not %q", err, c.want)
			}
		})
	}
}

func TestOracleCounts(t *testing.T) {
	o := handle(4, 1, 2, 2, 3, 1)
	v := o.Check()
	if v.Keys != 1 || v.Issued != 4 || v.Handled != 3 || v.Repeats != 2 || len(v.Lost) != 1 || o.Open() != 1 {
		t.Errorf("counted %+v and %d open", v, o.Open())
	}
}

// TestOracleIsRight compares it with a slow and simple judge.
func TestOracleIsRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "issued")
		numbers := rapid.SliceOfN(rapid.IntRange(1, n), 0, 12).Draw(t, "handled")
		inOrder := true
		seen := make(map[int]bool)
		for _, number := range numbers {
			for later := number + 1; later <= n && !seen[number]; later++ {
				inOrder = inOrder && !seen[later]
			}
			seen[number] = true
		}
		v := handle(n, numbers...).Check()
		if (len(v.Disordered) == 0) != inOrder || len(v.Lost) != n-len(seen) || v.Repeats != len(numbers)-len(seen) || len(v.Foreign) > 0 {
			t.Fatalf("1 to %d handled as %v: %+v", n, numbers, v)
		}
	})
}
