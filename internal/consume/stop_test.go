package consume_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

// deaf works for a minute whatever its context says.
func deaf(ctx context.Context, _ *broker.Delivery) error {
	return pause(context.WithoutCancel(ctx), time.Minute)
}

func TestStopFinishesWhatRunsAndLeavesTheRest(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Concurrency = 2
	cfg.Retry.Attempts = 1
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(func(ctx context.Context, d *broker.Delivery) error {
			err := pause(ctx, 10*time.Second)
			if string(d.Value) == "b1" {
				return errTest
			}
			return err
		})
		for _, v := range []string{"a1", "b1", "a2", "b2", "c1"} {
			r.topic.tapes[0].append(v[:1], v, 0)
		}
		r.start()
		r.finish()
		r.sawSome("a1", "b1")
		r.settled(0, 2)
		if r.since() != 10*time.Second || len(r.dead) != 1 {
			t.Errorf("after %s: %d dead letters", r.since(), len(r.dead))
		}
		if s := r.c.Stats(); s.InFlight != 0 || s.Partitions != 0 {
			t.Errorf("got %+v", s)
		}
		r.start() // A consumer can run again, and goes on where it was.
		r.sawSome("a2", "b2")
	})
}

func TestStopAbandonsRetries(t *testing.T) {
	var mail *consume.Reaction
	run(t, 1, toward(&mail), func(r *rig) {
		mail = r.single(func(context.Context, *broker.Delivery) error { return consume.RetryAfter(time.Hour, errTest) })
		r.topic.tapes[0].append("a", "a", 0)
		r.start()
		r.finish()
		r.settled(0, 0)
		if r.since() != 0 {
			t.Errorf("stopping took %s", r.since())
		}
	})
}

func TestStopInterruptsAtTheDeadline(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Stop = 5 * time.Second
	cfg.Retry.Attempts = 1
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(func(ctx context.Context, _ *broker.Delivery) error {
			return pause(ctx, time.Hour)
		})
		r.topic.tapes[0].append("a", "a", 0)
		r.start()
		r.finish()
		if r.since() != 5*time.Second {
			t.Errorf("stopping took %s", r.since())
		}
		if s := r.c.Stats(); s.Failed != 0 || len(r.dead) != 0 {
			t.Errorf("being interrupted counts as a failure: %+v", s)
		}
		r.settled(0, 0)
	})
}

func TestStopLeavesDeafHandlersBehind(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Stop = 5 * time.Second
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(deaf)
		r.topic.tapes[0].append("a", "a", 0)
		r.start()
		r.finish()
		if r.since() != 6*time.Second || r.logged("left behind") != 1 {
			t.Errorf("stopping took %s, and the log has\n%s", r.since(), &r.log)
		}
		r.pass(time.Minute)
		r.settled(0, 0)
		if n := r.topic.tapes[0].calls(); n != 0 {
			t.Errorf("Settle was called %d times for a partition that was given back", n)
		}
	})
}

func TestLossInterruptsOnlyItsOwn(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Retry.Attempts = 1
	run(t, 2, cfg, func(r *rig) {
		mail = r.single(func(ctx context.Context, d *broker.Delivery) error {
			err := pause(ctx, 10*time.Second)
			if err != nil {
				r.note("%s interrupted after %s", d.Value, r.since())
			}
			return err
		})
		r.topic.tapes[0].append("a", "a", 0)
		r.topic.tapes[1].append("b", "b", 0)
		r.start()
		r.pass(time.Second)
		r.sawSome("a", "b")
		r.topic.tapes[0].lose()
		r.pass(0)
		r.saw("a interrupted after 1s", "a") // and it comes again
		if n := r.topic.tapes[0].calls(); n != 0 {
			t.Errorf("Settle was called %d times after the loss", n)
		}
		r.pass(9 * time.Second)
		r.settled(1, 1)
		r.pass(time.Second)
		r.settled(0, 1)
		if s := r.c.Stats(); s.Failed != 0 || s.Handled != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestDeafHandlerOfALostPartitionHoldsNobodyElse(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Stop = 5 * time.Second
	run(t, 2, cfg, func(r *rig) {
		mail = r.single(func(ctx context.Context, d *broker.Delivery) error {
			if d.Partition == 0 {
				return deaf(ctx, d)
			}
			return nil
		})
		r.topic.tapes[0].append("a", "a", 0)
		r.topic.tapes[0].once = true
		r.start()
		r.topic.tapes[0].lose()
		r.pass(time.Second)
		r.topic.tapes[1].append("b", "b", 0)
		r.pass(0)
		r.saw("a", "b")
		r.pass(time.Second)
		r.settled(1, 1)
		r.pass(5 * time.Second)
		if s := r.c.Stats(); s.Partitions != 1 {
			t.Errorf("the lost partition is still held: %+v", s)
		}
		r.pass(time.Minute)
	})
}

func TestStopDoesNotWaitForRoom(t *testing.T) {
	for name, jam := range map[string]func(r *rig){
		"paused": func(r *rig) { r.c.Pause() },
		"full":   func(*rig) {},
	} {
		t.Run(name, func(t *testing.T) {
			var mail *consume.Reaction
			cfg := toward(&mail)
			cfg.Concurrency, cfg.MaxMessages = 1, 4
			run(t, 1, cfg, func(r *rig) {
				mail = r.single(func(context.Context, *broker.Delivery) error { return consume.RetryAfter(time.Hour, errTest) })
				r.start()
				jam(r)
				for range 10 {
					r.topic.tapes[0].append("a", "a", 0)
				}
				r.pass(time.Second)
				r.finish()
				if r.since() != time.Second {
					t.Errorf("stopping took %s", r.since()-time.Second)
				}
			})
		})
	}
}

func TestSettleErrorGivesThePartitionBack(t *testing.T) {
	var mail *consume.Reaction
	run(t, 2, toward(&mail), func(r *rig) {
		mail = r.single(ok)
		bad := r.topic.tapes[0]
		bad.settleErr = errors.New("the broker is away")
		bad.append("a", "a", 0)
		r.topic.tapes[1].append("b", "b", 0)
		r.start()
		r.sawSome("a", "b")
		r.settled(1, 1)
		if r.logged("the broker is away") != 1 {
			t.Errorf("the log has\n%s", &r.log)
		}
		r.pass(900 * time.Millisecond)
		r.saw() // It waits a moment before it takes the partition again.
		bad.mu.Lock()
		bad.settleErr = nil
		bad.mu.Unlock()
		r.pass(100 * time.Millisecond)
		r.saw("a")
		r.settled(0, 1)
	})
}

func TestToEndFinishesEverything(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.ToEnd = true
	cfg.Concurrency = 1
	cfg.Retry.Attempts = 2
	run(t, 2, cfg, func(r *rig) {
		mail = r.single(func(ctx context.Context, d *broker.Delivery) error {
			if string(d.Value) == "a1" {
				return consume.RetryAfter(time.Hour, errTest)
			}
			return pause(ctx, time.Second)
		})
		for _, v := range []string{"a1", "a2", "b1", "b2"} {
			r.topic.tapes[0].append(v[:1], v, 0)
		}
		for _, tape := range r.topic.tapes {
			tape.ending, tape.once = true, true
		}
		r.start()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		r.done <- nil
		r.settled(0, 4)
		if r.since() != time.Hour+time.Second || len(r.dead) != 1 {
			t.Errorf("after %s: %d dead letters", r.since(), len(r.dead))
		}
	})
}
