package consume_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

func TestSkippedMessagesMoveThePosition(t *testing.T) {
	var mail *consume.Reaction
	cfg := consume.Config{Route: func(d *broker.Delivery) *consume.Reaction {
		if string(d.Value) == "skip" {
			return nil
		}
		return mail
	}}
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(slow)
		tape := r.topic.tapes[0]
		for range 5000 {
			tape.appendFinished("a", "skip", 1)
		}
		r.start()
		r.pass(100 * time.Millisecond)
		r.settled(0, 10_000)
		tape.append("a", "mail", 1)
		tape.appendFinished("a", "skip", 1)
		r.pass(100 * time.Millisecond)
		r.settled(0, 10_001) // The skipped one was settled too, but the position waits.
		if s := r.c.Stats(); s.Skipped != 5001 || s.InFlight != 1 {
			t.Errorf("got %+v", s)
		}
		r.pass(time.Second)
		r.settled(0, 10_004)
	})
}

func TestSettlementsAreGathered(t *testing.T) {
	const n = 20_000
	var mail *consume.Reaction
	run(t, 1, toward(&mail), func(r *rig) {
		mail = &consume.Reaction{Handle: func(_ context.Context, d *broker.Delivery) error {
			r.topic.tapes[0].finish(d.Sequence)
			return nil
		}}
		tape := r.topic.tapes[0]
		tape.append("", "", 0)
		r.start()
		r.settled(0, 1) // The first one is settled at once.
		tape.silent = true
		for range n {
			tape.append("", "", 0)
		}
		r.pass(time.Second)
		r.settled(0, n+1)
		if calls := tape.calls(); calls > n/100 {
			t.Errorf("%d messages needed %d settlements", n, calls)
		}
	})
}

func TestMemoryIsShared(t *testing.T) {
	t.Run("messages", func(t *testing.T) { testShare(t, consume.Config{MaxMessages: 40}) })
	t.Run("bytes", func(t *testing.T) { testShare(t, consume.Config{MaxBytes: 40 * 1003}) })
}

// testShare checks that four partitions share cfg's room for 40 messages, while a gate keeps the handlers from finishing any.
func testShare(t *testing.T, cfg consume.Config) {
	t.Helper()
	var mail *consume.Reaction
	cfg.Route = toward(&mail).Route
	cfg.Concurrency = 2
	run(t, 4, cfg, func(r *rig) {
		var open atomic.Bool
		open.Store(true)
		mail = &consume.Reaction{Handle: func(ctx context.Context, d *broker.Delivery) error {
			for !open.Load() {
				if err := pause(ctx, time.Second); err != nil {
					return err
				}
			}
			r.topic.tapes[d.Partition].finish(d.Sequence)
			return nil
		}}
		fill := func(partitions []*tape, n, low, high int) {
			for _, tape := range partitions {
				for i := range n {
					tape.append(strconv.Itoa(i), string(make([]byte, 999)), 0)
				}
			}
			r.pass(time.Second)
			if n := r.c.Stats().InFlight; n < low || n > high {
				t.Errorf("%d messages are held, want %d to %d", n, low, high)
			}
		}
		r.start()
		fill(r.topic.tapes, 1, 0, 0) // What a partition asked for before the others came is not its share.
		open.Store(false)
		fill(r.topic.tapes[:3], 1000, 22, 33)
		fill(r.topic.tapes[3:], 1000, 30, 44)
		open.Store(true)
		r.pass(time.Minute)
		for p := range r.topic.tapes {
			r.settled(p, 1001)
		}
	})
}

func TestEveryPartitionMayHoldOneMessage(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Concurrency, cfg.MaxMessages, cfg.MaxBytes = 1, 1, 1 // MaxMessages becomes 4.
	run(t, 20, cfg, func(r *rig) {
		mail = r.single(ok)
		for _, tape := range r.topic.tapes {
			for range 10 {
				tape.append("a", "large", 0)
			}
		}
		r.start()
		r.pass(time.Second)
		for p := range r.topic.tapes {
			r.settled(p, 10)
		}
		r.seen = nil
	})
}

func TestOneJammedPartitionStarvesNoOther(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.MaxMessages = 64
	cfg.OnFailure = consume.Block
	run(t, 2, cfg, func(r *rig) {
		mail = &consume.Reaction{Handle: func(_ context.Context, d *broker.Delivery) error {
			if d.Partition == 0 {
				return errTest
			}
			r.topic.tapes[1].finish(d.Sequence)
			return nil
		}}
		for i := range 1000 {
			r.topic.tapes[0].append(strconv.Itoa(i), "", 0)
		}
		r.start()
		r.pass(5 * time.Minute)
		for i := range 1000 {
			r.topic.tapes[1].append(strconv.Itoa(i), "", 0)
		}
		r.pass(time.Second)
		r.settled(1, 1000)
		r.settled(0, 0)
	})
}

func TestSharesGrowWhenAPartitionLeaves(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Concurrency, cfg.MaxMessages = 1, 40
	run(t, 2, cfg, func(r *rig) {
		mail = &consume.Reaction{Handle: func(context.Context, *broker.Delivery) error { return consume.RetryAfter(time.Hour, errTest) }}
		r.topic.tapes[1].once = true
		r.start()
		for i := range 100 {
			r.topic.tapes[0].append(strconv.Itoa(i), "", 0)
			r.pass(0)
		}
		before := r.c.Stats().InFlight
		r.topic.tapes[1].revoke()
		r.pass(time.Second)
		if after := r.c.Stats().InFlight; before != 20 || after != 40 {
			t.Errorf("it held %d messages, then %d", before, after)
		}
	})
}

func TestUnsettledMessagesAreBounded(t *testing.T) {
	const n = 140_000
	cfg := consume.Config{Route: func(*broker.Delivery) *consume.Reaction { return nil }}
	run(t, 1, cfg, func(r *rig) {
		tape := r.topic.tapes[0]
		tape.gate, tape.silent = make(chan struct{}), true
		for range n {
			tape.appendFinished("", "", 0)
		}
		r.start()
		if skipped := r.c.Stats().Skipped; skipped < 65_536 || skipped > 2*(65_536+512) {
			t.Errorf("%d messages were skipped while none could be settled", skipped)
		}
		close(tape.gate)
		r.pass(time.Second)
		r.settled(0, n)
	})
}

func TestFetchesAreNotOneByOne(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.MaxMessages = 100
	run(t, 1, cfg, func(r *rig) {
		mail = &consume.Reaction{Handle: func(ctx context.Context, d *broker.Delivery) error {
			err := pause(ctx, time.Millisecond)
			r.topic.tapes[0].finish(d.Sequence)
			return err
		}}
		for i := range 2000 {
			r.topic.tapes[0].append(strconv.Itoa(i), "", 0)
		}
		r.start()
		var limits []int
		r.topic.tapes[0].mu.Lock()
		held := r.topic.tapes[0].held
		r.topic.tapes[0].mu.Unlock()
		r.pass(time.Minute)
		held.mu.Lock()
		limits = held.limits
		held.mu.Unlock()
		if len(limits) > 2000/25+5 {
			t.Errorf("%d fetches for 2000 messages, of %v…", len(limits), limits[:20])
		}
		r.settled(0, 2000)
	})
}

func TestPause(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Concurrency = 1
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(slow)
		for i := range 3 {
			r.topic.tapes[0].append("a", fmt.Sprint("a", i), 0)
		}
		r.start()
		r.c.Pause()
		if !r.c.Paused() {
			t.Error("it is not paused")
		}
		r.pass(time.Hour)
		r.saw("a0")
		r.settled(0, 1)
		r.c.Resume()
		r.pass(time.Hour)
		r.saw("a1", "a2")
		r.settled(0, 3)
		r.c.Pause()
		r.topic.tapes[0].append("a", "a3", 0) // One fetch was under way: what it brings waits too.
		r.topic.tapes[0].append("b", "b", 0)
		r.pass(time.Hour)
		r.saw()
		r.c.Resume()
		r.pass(time.Hour)
		r.saw("a3", "b")
		r.settled(0, 5)
	})
}

type contextKey struct{}

func TestHandlersSeeTheSourcesContext(t *testing.T) {
	var mail *consume.Reaction
	run(t, 1, toward(&mail), func(r *rig) {
		mail = r.single(func(ctx context.Context, _ *broker.Delivery) error {
			r.note("%v", ctx.Value(contextKey{}))
			return nil
		})
		r.topic.tapes[0].append("a", "a", 0)
		r.startWith(context.WithValue(context.Background(), contextKey{}, "value"))
		r.saw("a", "value")
	})
}

func TestQueuesAreAcknowledgedOneByOne(t *testing.T) {
	var mail *consume.Reaction
	run(t, 1, toward(&mail), func(r *rig) {
		r.topic.queue = true
		mail = r.single(func(_ context.Context, d *broker.Delivery) error {
			if d.Key == "a" {
				return consume.RetryAfter(time.Hour, errTest)
			}
			return nil
		})
		for _, v := range []string{"a1", "b1", "b2"} {
			r.topic.tapes[0].append(v[:1], v, 0)
		}
		r.start()
		r.pass(time.Second)
		r.sawSome("a1", "b1", "b2")
		r.topic.tapes[0].revoke()
		r.pass(0)
		r.saw("a1")
		if acked := r.topic.tapes[0].acked; len(acked) != 2 || acked[0] {
			t.Errorf("acknowledged are %v", acked)
		}
		if !slices.Equal([]uint64{r.c.Stats().Handled, r.c.Stats().Failed}, []uint64{2, 2}) {
			t.Errorf("got %+v", r.c.Stats())
		}
	})
}
