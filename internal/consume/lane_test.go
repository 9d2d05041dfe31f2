package consume_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

// slow works for a second.
func slow(ctx context.Context, _ *broker.Delivery) error { return pause(ctx, time.Second) }

func TestKeysRunInParallelAndEachInOrder(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Concurrency = 3
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(slow)
		for _, v := range []string{"a1", "a2", "b1", "a3", "b2", "-1", "-2"} {
			key := v[:1]
			if key == "-" {
				key = ""
			}
			r.topic.tapes[0].append(key, v, 0)
		}
		r.start()
		r.sawSome("a1", "b1", "-1")
		r.pass(time.Second)
		r.sawSome("-2", "a2", "b2")
		r.pass(time.Second)
		r.saw("a3")
		r.pass(time.Second)
		r.settled(0, 7)
	})
}

func TestLanesTakeTurns(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Concurrency = 1
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(ok)
		for _, v := range []string{"a1", "a2", "a3", "b1", "b2", "c1"} {
			r.topic.tapes[0].append(v[:1], v, 0)
		}
		r.start()
		r.saw("a1", "b1", "c1", "a2", "b2", "a3")
	})
}

func TestUnorderedMakesEveryMessageItsOwnLane(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Unordered = true
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(slow)
		for range 5 {
			r.topic.tapes[0].append("a", "a", 0)
		}
		r.start()
		r.saw("a", "a", "a", "a", "a")
	})
}

func TestRetryHoldsItsLaneAndNoWorker(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Concurrency = 1
	cfg.Retry = consume.Retry{Attempts: 3, Min: time.Second, Max: time.Minute}
	run(t, 1, cfg, func(r *rig) {
		failures := 2
		mail = r.single(func(_ context.Context, d *broker.Delivery) error {
			if string(d.Value) == "a1" && failures > 0 {
				failures--
				return errTest
			}
			return nil
		})
		for _, v := range []string{"a1", "a2", "b1", "b2"} {
			r.topic.tapes[0].append(v[:1], v, 0)
		}
		r.start()
		r.saw("a1", "b1", "b2")
		r.settled(0, 0)
		if s := r.c.Stats(); s.Retrying != 1 || s.InFlight != 2 || s.Failed != 1 || s.Handled != 2 {
			t.Errorf("while it waits: %+v", s)
		}
		r.pass(500*time.Millisecond - 1)
		r.saw()
		r.pass(500*time.Millisecond + 1)
		r.saw("a1")
		r.pass(2 * time.Second)
		r.saw("a1", "a2")
		r.settled(0, 4)
		if len(r.dead) > 0 {
			t.Errorf("%d messages died", len(r.dead))
		}
	})
}

func TestRetryAfterWaitsAsLongAsItSays(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Retry.Attempts = 2
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(func(context.Context, *broker.Delivery) error {
			return fmt.Errorf("the other side is closed: %w", consume.RetryAfter(time.Hour, errTest))
		})
		r.topic.tapes[0].append("a", "a", 0)
		r.start()
		r.saw("a")
		r.pass(time.Hour - 1)
		r.saw()
		r.pass(1)
		r.saw("a")
		if len(r.dead) != 1 {
			t.Error("RetryAfter did not count as an attempt")
		}
	})
}

func TestDiscardFinishes(t *testing.T) {
	var mail *consume.Reaction
	run(t, 1, toward(&mail), func(r *rig) {
		mail = r.single(func(_ context.Context, d *broker.Delivery) error {
			r.topic.tapes[0].finish(d.Sequence)
			return consume.Discard(errTest)
		})
		r.topic.tapes[0].append("a", "a1", 0)
		r.topic.tapes[0].append("a", "a2", 0)
		r.start()
		r.saw("a1", "a2")
		r.pass(time.Second)
		r.settled(0, 2)
		if s := r.c.Stats(); s.Discarded != 2 || s.Handled != 0 || r.logged("level=INFO") != 2 {
			t.Errorf("got %+v and the log\n%s", s, &r.log)
		}
	})
}

func TestBlockGoesOnForEver(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.OnFailure = consume.Block
	cfg.Retry = consume.Retry{Attempts: 2, Min: time.Second, Max: time.Minute}
	run(t, 1, cfg, func(r *rig) {
		var healthy atomic.Bool
		mail = r.single(func(_ context.Context, d *broker.Delivery) error {
			if d.Key == "a" && !healthy.Load() {
				return errTest
			}
			return nil
		})
		for _, v := range []string{"a1", "a2", "b1"} {
			r.topic.tapes[0].append(v[:1], v, 0)
		}
		r.start()
		r.saw("a1", "b1")
		r.pass(time.Second)
		r.saw("a1")
		for range 50 {
			r.pass(time.Minute)
			r.saw("a1")
		}
		if n := r.logged("level=ERROR"); n != 51 {
			t.Errorf("%d errors were logged, want one for each try after the last allowed one", n)
		}
		healthy.Store(true)
		r.pass(time.Minute)
		r.saw("a1", "a2")
	})
}

func TestManyKeys(t *testing.T) {
	const n = 30_000
	var mail *consume.Reaction
	run(t, 1, toward(&mail), func(r *rig) {
		handled := make(map[string]bool, n)
		mail = &consume.Reaction{Handle: func(_ context.Context, d *broker.Delivery) error {
			r.mu.Lock()
			handled[d.Key] = true
			r.mu.Unlock()
			r.topic.tapes[0].finish(d.Sequence)
			return nil
		}}
		r.topic.tapes[0].silent = true
		for i := range n {
			r.topic.tapes[0].append(strconv.Itoa(i), "", 0)
		}
		r.start()
		r.pass(time.Second)
		r.settled(0, n)
		if len(handled) != n {
			t.Errorf("%d of %d keys were handled", len(handled), n)
		}
	})
}
