package consume_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

// outage is a configuration whose handlers fail while down is true: ten attempts, a breaker after three failures, a probe each ten seconds.
func outage(down *atomic.Bool, reaction **consume.Reaction) (cfg consume.Config, h handler) {
	cfg = toward(reaction)
	cfg.Retry = consume.Retry{Attempts: 10, Min: time.Second, Max: 2 * time.Second}
	cfg.Breaker = consume.Breaker{Failures: 3, Wait: 10 * time.Second}
	return cfg, func(context.Context, *broker.Delivery) error {
		if down.Load() {
			return errTest
		}
		return nil
	}
}

func TestTheBreakerRestsAndProbes(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	var down atomic.Bool
	cfg, h := outage(&down, &reaction)
	cfg.Concurrency = 1
	run(t, 1, cfg, func(r *rig) {
		reaction = r.single(h)
		down.Store(true)
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			r.topic.tapes[0].append(key, key, 0)
		}
		r.start()
		r.saw("a", "b", "c")
		if s := r.c.Stats(); !s.Open || s.Failed != 3 || s.InFlight != 5 {
			t.Errorf("after three failures: %+v", s)
		}
		r.pass(9 * time.Second)
		r.saw()
		r.pass(time.Second)
		r.saw("d")
		r.pass(10 * time.Second)
		r.saw("e")
		for range 60 { // long enough for any message to use up its attempts, if they counted
			r.pass(10 * time.Second)
		}
		r.mu.Lock()
		probes := len(r.seen)
		r.seen = nil
		r.mu.Unlock()
		if s := r.c.Stats(); probes != 60 || s.Dead != 0 || !s.Open {
			t.Errorf("%d probes in ten minutes, want 60; %+v", probes, s)
		}
		down.Store(false)
		r.pass(10 * time.Second)
		r.sawSome("a", "b", "c", "d", "e")
		if s := r.c.Stats(); s.Open || s.Handled != 5 || s.InFlight != 0 {
			t.Errorf("afterwards: %+v", s)
		}
		if r.logged("nothing but failures") != 1 || r.logged("the subscription goes on") != 1 {
			t.Errorf("log: %s", r.log.String())
		}
	})
}

// What a message has failed before the breaker opened counts, so one that fails by itself is given up in the end.
func TestTheBreakerDoesNotKeepPoisonForEver(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	var down atomic.Bool
	cfg, _ := outage(&down, &reaction)
	cfg.Retry.Attempts = 4
	run(t, 1, cfg, func(r *rig) {
		reaction = r.single(func(_ context.Context, d *broker.Delivery) error {
			if d.Key == "poison" {
				return errTest
			}
			return nil
		})
		r.topic.tapes[0].append("poison", "p", 0)
		r.start()
		r.pass(time.Hour)
		if s := r.c.Stats(); !s.Open || s.Dead != 0 {
			t.Errorf("alone: %+v", s)
		}
		r.topic.tapes[0].append("good", "g", 0)
		r.pass(time.Minute)
		if s := r.c.Stats(); s.Open || s.Dead != 1 || s.Handled != 1 {
			t.Errorf("with another message: %+v", s)
		}
	})
}

func TestTheBreakerCountsNoVerdicts(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	var down atomic.Bool
	cfg, _ := outage(&down, &reaction)
	run(t, 1, cfg, func(r *rig) {
		reaction = r.single(func(_ context.Context, d *broker.Delivery) error {
			r.topic.tapes[0].finish(d.Sequence)
			if d.Key == "bad" {
				return consume.DeadLetter(errTest)
			}
			return consume.Discard(errTest)
		})
		for range 10 {
			r.topic.tapes[0].append("bad", "b", 0)
			r.topic.tapes[0].append("odd", "o", 0)
		}
		r.start()
		r.pass(time.Second)
		if s := r.c.Stats(); s.Open || s.Dead != 10 || s.Discarded != 10 {
			t.Errorf("%+v", s)
		}
	})
}

func TestASuccessBeginsTheCountAnew(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	var down atomic.Bool
	cfg, _ := outage(&down, &reaction)
	cfg.Concurrency = 1
	run(t, 1, cfg, func(r *rig) {
		reaction = r.single(func(_ context.Context, d *broker.Delivery) error {
			if string(d.Value) == "bad" {
				return errTest
			}
			return nil
		})
		for _, value := range []string{"bad", "bad", "good", "bad", "bad", "good"} {
			r.topic.tapes[0].append("", value, 0)
		}
		r.start()
		if s := r.c.Stats(); s.Open || s.Failed != 4 || s.Handled != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTheBreakerProbesWithABatch(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	var down atomic.Bool
	cfg, _ := outage(&down, &reaction)
	cfg.Concurrency = 1
	run(t, 1, cfg, func(r *rig) {
		reaction = &consume.Reaction{Name: "mail", Batch: &consume.Batch{Size: 2, Wait: time.Millisecond, Handle: func(_ context.Context, items []*consume.Item) error {
			r.note("%d", len(items))
			if down.Load() {
				return errTest
			}
			for _, i := range items {
				r.topic.tapes[0].finish(i.Delivery.Sequence)
			}
			return nil
		}}}
		down.Store(true)
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			r.topic.tapes[0].append(key, key, 0)
		}
		r.start()
		r.saw("2", "2", "2")
		r.pass(11 * time.Second)
		r.saw("2")
		for range 60 {
			r.pass(10 * time.Second)
		}
		if s := r.c.Stats(); s.Dead != 0 || !s.Open {
			t.Errorf("%+v", s)
		}
		down.Store(false)
		r.pass(time.Minute)
		if s := r.c.Stats(); s.Open || s.Handled != 8 || s.InFlight != 0 {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

// A probe whose partition is lost says nothing, and another one has its turn; so does one whose partition is given back while its handler hangs.
func TestAProbeThatIsLost(t *testing.T) {
	t.Parallel()
	for name, heeds := range map[string]bool{"interrupted": true, "left behind": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var reaction *consume.Reaction
			var down, hangs atomic.Bool
			cfg, h := outage(&down, &reaction)
			cfg.Stop = time.Second
			run(t, 2, cfg, func(r *rig) {
				release := make(chan struct{})
				defer close(release)
				reaction = r.single(func(ctx context.Context, d *broker.Delivery) error {
					if !hangs.Load() || d.Partition == 1 {
						return h(ctx, d)
					}
					if heeds {
						<-ctx.Done()
						return ctx.Err()
					}
					<-release
					return errTest
				})
				down.Store(true)
				for _, key := range []string{"a", "b", "c"} {
					r.topic.tapes[0].append(key, key, 0)
				}
				r.start()
				hangs.Store(true)
				r.pass(11 * time.Second) // the probe hangs
				r.topic.tapes[1].append("x", "x", 0)
				r.pass(time.Minute)
				r.topic.tapes[0].once = true
				r.topic.tapes[0].lose()
				down.Store(false)
				r.pass(30 * time.Second)
				if s := r.c.Stats(); s.Open || s.Handled == 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestTheBreakerRestsWhilePaused(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	var down atomic.Bool
	cfg, h := outage(&down, &reaction)
	run(t, 1, cfg, func(r *rig) {
		reaction = r.single(h)
		down.Store(true)
		for _, key := range []string{"a", "b", "c"} {
			r.topic.tapes[0].append(key, key, 0)
		}
		r.start()
		r.sawSome("a", "b", "c")
		r.c.Pause()
		r.pass(time.Minute)
		r.saw()
		down.Store(false)
		r.c.Resume()
		r.pass(5 * time.Second)
		r.sawSome("a", "b", "c")
		r.settled(0, 3)
	})
}
