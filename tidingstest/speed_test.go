package tidingstest_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/tidingstest"
)

// usual are the tests of an ordinary service: what comes is handled, comes twice, fails, meets a crash, waits for its hour, or is a command.
var usual = []func(t *testing.T, k *tidingstest.Kit){
	func(_ *testing.T, k *tidingstest.Kit) { k.Deliver(paid.New(order{"a", 1}), paid.New(order{"b", 2})) },
	func(_ *testing.T, k *tidingstest.Kit) { k.Deliver(paid.New(order{"a", 1})); k.Redeliver() },
	func(_ *testing.T, k *tidingstest.Kit) { k.FailNext(3); k.Deliver(paid.New(order{"a", 1})) },
	func(_ *testing.T, k *tidingstest.Kit) { k.CrashAt(4); k.Deliver(paid.New(order{"a", 1})) },
	func(_ *testing.T, k *tidingstest.Kit) { k.Deliver(paid.New(order{"a", 1})); k.Advance(time.Hour) },
	func(t *testing.T, k *tidingstest.Kit) {
		t.Helper()
		if _, err := move.Call(t.Context(), k.App, order{"a", 1}, tidings.Once("1")); err != nil {
			t.Error(err)
		}
	},
}

// one is the i-th test.
func one(t *testing.T, i int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := tidingstest.New(t, quiet, register)
		usual[i%len(usual)](t, k)
		k.Quiet()
		if n := len(tidingstest.Published(k, shipped)) + len(tidingstest.Published(k, moved)); n == 0 {
			t.Error("nothing was published")
		}
	})
}

// A thousand tests take a few seconds. Nothing is asserted about that: the log and BenchmarkTest say how many.
func TestAThousandTests(t *testing.T) {
	tests := 100
	if testenv.Soak() {
		tests = 1000
	}
	start := time.Now()
	for i := range tests {
		t.Run(strconv.Itoa(i), func(t *testing.T) { one(t, i) })
	}
	t.Logf("%d tests took %v", tests, time.Since(start))
}

// BenchmarkTest is how long one test takes, with its app and its bubble.
func BenchmarkTest(b *testing.B) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		tests := []testing.InternalTest{{Name: "one", F: func(t *testing.T) { t.Helper(); one(t, i) }}}
		if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, tests) {
			b.Fatal("the test failed")
		}
	}
}
