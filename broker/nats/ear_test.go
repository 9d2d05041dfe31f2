package nats

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// heardBy lets messages arrive, each one millisecond's worth at once, as nats.go does it, which throws away what finds no room. The first one takes so long that
// all others arrive meanwhile; each of those takes as long as said. It returns what was heard.
func heardBy(t *testing.T, messages, perMillisecond, size int, each time.Duration) (heard []int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := newEar(func(msg *natsgo.Msg, topic string) {
			n, err := strconv.Atoi(string(msg.Data[:8]))
			if err != nil || topic != "orders" {
				t.Errorf("message %q of topic %q: %v", msg.Data[:8], topic, err)
			}
			if heard = append(heard, n); n == 10_000_000 {
				<-release
			}
			<-time.After(each)
		})
		e.topics["s"] = "orders"
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			e.listen(ctx, context.Background())
		}()
		padding := make([]byte, size)
		for n := range messages {
			if n%perMillisecond == 1 {
				<-time.After(time.Millisecond)
			}
			copy(padding, strconv.Itoa(10_000_000+n))
			select {
			case e.arrived <- &natsgo.Msg{Sub: &natsgo.Subscription{Subject: "s"}, Data: slices.Clone(padding)}:
			default:
				t.Fatalf("there was no room for message %d", n)
			}
		}
		close(release)
		<-time.After(time.Hour)
		cancel()
		<-ended
	})
	for i := range heard {
		heard[i] -= 10_000_000
	}
	return heard
}

// What a listener has no time for is lost from its oldest end, by number and by size, and the rest comes in order.
func TestASlowListenerLosesTheOldest(t *testing.T) {
	for name, c := range map[string]struct {
		messages, size int
		each           time.Duration
		want           int
	}{
		"few":                  {3000, 8, 0, 3000},
		"many":                 {maxHeard + 40_000, 8, 0, 1 + maxHeard},
		"many, each with work": {maxHeard + 40_000, 8, time.Millisecond, 1 + maxHeard},
		"large":                {3000, maxHeardBytes / 1000, 0, 1 + 1000},
	} {
		t.Run(name, func(t *testing.T) {
			heard := heardBy(t, c.messages, 1000, c.size, c.each)
			if len(heard) < c.want-20 || len(heard) > c.want { // a message is counted with its subject and headers
				t.Fatalf("heard %d messages, want about %d", len(heard), c.want)
			}
			if heard[0] != 0 || heard[len(heard)-1] != c.messages-1 {
				t.Errorf("heard %d to %d", heard[0], heard[len(heard)-1])
			}
			for i := 2; i < len(heard); i++ {
				if heard[i] != heard[i-1]+1 {
					t.Fatalf("heard %d after %d", heard[i], heard[i-1])
				}
			}
		})
	}
}

// A batch that is sent again is stored once, and heard once. What has no ID is heard as often as it is sent.
func TestAListenerKnowsStoredRecordsAgain(t *testing.T) {
	var heard []string
	e := newEar(func(msg *natsgo.Msg, topic string) { heard = append(heard, topic+" "+string(msg.Data)) })
	e.topics["s"], e.topics["o"] = "orders", "others"
	send := func(subject, id, data string) {
		msg := &natsgo.Msg{Sub: &natsgo.Subscription{Subject: subject}, Data: []byte(data)}
		if id != "" {
			msg.Header = natsgo.Header{headerID: {id}}
		}
		e.hear(msg)
	}
	for range 2 {
		send("s", "1", "a")
		send("s", "2", "b")
		send("o", "1", "c") // a forwarded record has its ID there too
		send("s", "", "live")
	}
	if want := []string{"orders a", "orders b", "others c", "orders live", "orders live"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
	for n := range 3 * remembered {
		send("s", "n"+strconv.Itoa(n), "x")
	}
	if len(heard) != 5+3*remembered || len(e.known) != remembered || len(e.last) != remembered {
		t.Errorf("heard %d records; %d and %d are remembered", len(heard), len(e.known), len(e.last))
	}
	heard = nil
	send("s", "n"+strconv.Itoa(3*remembered-1), "x")
	send("s", "n"+strconv.Itoa(2*remembered), "x")
	send("s", "1", "a") // so long ago that it is forgotten
	if want := []string{"orders a"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}
