package consume_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

// batch makes a reaction that notes each batch as "a1 a2/2 b1" (a2 in its second attempt) and, with the topic, what is finished.
func (r *rig) batch(b consume.Batch, h func(ctx context.Context, items []*consume.Item) error) *consume.Reaction {
	b.Handle = func(ctx context.Context, items []*consume.Item) error {
		var names []string
		for _, i := range items {
			name := string(i.Delivery.Value)
			if i.Attempt > 1 {
				name += fmt.Sprint("/", i.Attempt)
			}
			names = append(names, name)
		}
		slices.Sort(names) // Whether keys or partitions are first is chance.
		r.note("%s", strings.Join(names, " "))
		err := h(ctx, items)
		if err == nil {
			for _, i := range items {
				r.topic.tapes[i.Delivery.Partition].finish(i.Delivery.Sequence)
			}
		}
		return err
	}
	return &consume.Reaction{Name: "bulk", Batch: &b}
}

func (r *rig) append(values ...string) {
	for _, v := range values {
		r.topic.tapes[0].append(v[:1], v, 0)
	}
}

func fine(context.Context, []*consume.Item) error { return nil }

func TestBatchesGather(t *testing.T) {
	var bulk *consume.Reaction
	run(t, 2, toward(&bulk), func(r *rig) {
		bulk = r.batch(consume.Batch{Size: 3, Wait: time.Second}, fine)
		r.append("a1", "a2", "b1", "b2", "c1")
		r.start()
		r.saw("a1 a2 b1") // Full: it does not wait.
		r.settled(0, 3)
		r.pass(900 * time.Millisecond)
		r.saw()
		r.topic.tapes[1].append("d", "d1", 0) // Other partitions join.
		r.saw()
		r.pass(0)
		r.saw("b2 c1 d1")
		r.append("a3")
		r.pass(time.Second - 1)
		r.saw()
		r.pass(1)
		r.saw("a3")
		if s := r.c.Stats(); s.Handled != 7 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestBatchDefaults(t *testing.T) {
	var bulk *consume.Reaction
	run(t, 1, toward(&bulk), func(r *rig) {
		bulk = r.batch(consume.Batch{}, func(_ context.Context, items []*consume.Item) error {
			r.note("%d after %s", len(items), r.since())
			return nil
		})
		for range 120 {
			r.append("a")
		}
		r.start()
		r.pass(time.Second)
		r.seen = slices.DeleteFunc(r.seen, func(s string) bool { return strings.HasPrefix(s, "a") })
		r.saw("100 after 0s", "20 after 100ms")
	})
}

func TestLaneOfABatchIsBusy(t *testing.T) {
	var bulk, mail *consume.Reaction
	cfg := consume.Config{Route: func(d *broker.Delivery) *consume.Reaction {
		if strings.HasSuffix(string(d.Value), "!") {
			return mail
		}
		return bulk
	}}
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(ok)
		bulk = r.batch(consume.Batch{Size: 10, Wait: time.Second}, func(ctx context.Context, _ []*consume.Item) error {
			return pause(ctx, time.Minute)
		})
		r.append("a1", "a2", "a3!", "a4", "b1!")
		r.start()
		r.saw("b1!")
		r.append("a5")
		r.pass(time.Second)
		r.saw("a1 a2")
		r.pass(59 * time.Second)
		r.saw()
		r.pass(time.Second)
		r.saw("a3!")
		r.pass(time.Second)
		r.saw("a4 a5")
	})
}

func TestItemsAreAnsweredOneByOne(t *testing.T) {
	var bulk *consume.Reaction
	run(t, 1, toward(&bulk), func(r *rig) {
		first := true
		bulk = r.batch(consume.Batch{Size: 5, Wait: time.Second}, func(ctx context.Context, items []*consume.Item) error {
			if !first {
				return nil
			}
			first = false
			r.topic.tapes[0].finish(0)
			items[0].Ack()
			items[0].Nak(0)       // The first answer counts.
			items[1].InProgress() // Without a timeout there is nothing to extend.
			items[1].Nak(time.Hour)
			items[2].Term(errTest)
			if err := pause(ctx, time.Minute); err != nil {
				return err
			}
			return errors.New("the rest")
		})
		r.append("a", "b", "c", "d", "e")
		r.start()
		r.saw("a b c d e")
		r.pass(time.Second)
		r.settled(0, 1) // Ack counts at once.
		r.append("b2", "a2")
		r.pass(59 * time.Second)
		r.saw("a2")
		if len(r.dead) != 1 || string(r.dead[0].Delivery.Value) != "c" || r.dead[0].History[0].Error != errTest.Error() {
			t.Errorf("dead are %v", r.dead)
		}
		r.pass(2 * time.Second)
		r.sawSome("d/2 e/2")
		r.pass(time.Hour)
		r.saw("b/2 b2")
		if s := r.c.Stats(); s.Handled != 6 || s.Dead != 1 || s.Failed != 4 {
			t.Errorf("got %+v", s)
		}
		r.settled(0, 7)
	})
}

func TestOneBadMessageNeverBlocksItsBatch(t *testing.T) {
	var bulk *consume.Reaction
	cfg := toward(&bulk)
	cfg.Retry = consume.Retry{Attempts: 3, Min: time.Millisecond}
	run(t, 1, cfg, func(r *rig) {
		bulk = r.batch(consume.Batch{Size: 4, Wait: time.Second}, func(_ context.Context, items []*consume.Item) error {
			for _, i := range items {
				if string(i.Delivery.Value) == "bad" {
					i.Nak(0)
					continue
				}
				r.topic.tapes[0].finish(i.Delivery.Sequence)
				i.Ack()
			}
			return errors.New("some are bad")
		})
		r.append("bad", "c", "d", "e")
		r.start()
		r.saw("bad c d e")
		r.pass(time.Minute)
		r.saw("bad/2", "bad/3")
		if len(r.dead) != 1 || len(r.dead[0].History) != 3 {
			t.Errorf("dead are %v", r.dead)
		}
		r.settled(0, 4)
	})
}

func TestBatchThatPanicsOrExits(t *testing.T) {
	for name, fall := range map[string]func(){"panics": func() { panic("bulk") }, "exits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			var bulk *consume.Reaction
			cfg := toward(&bulk)
			cfg.Retry.Attempts = 1
			run(t, 1, cfg, func(r *rig) {
				bulk = r.batch(consume.Batch{Size: 3}, func(_ context.Context, items []*consume.Item) error {
					r.topic.tapes[0].finish(0)
					items[0].Ack()
					fall()
					return nil
				})
				r.append("a", "b", "c")
				r.start()
				r.pass(time.Second)
				if len(r.dead) != 2 || r.dead[0].History[0].Panic != (name == "panics") {
					t.Errorf("dead are %v", r.dead)
				}
				r.settled(0, 3)
			})
		})
	}
}

func TestBatchTimeout(t *testing.T) {
	var bulk *consume.Reaction
	cfg := toward(&bulk)
	cfg.Retry.Attempts = 1
	run(t, 1, cfg, func(r *rig) {
		bulk = r.batch(consume.Batch{Size: 1}, func(ctx context.Context, items []*consume.Item) error {
			switch string(items[0].Delivery.Value) {
			case "long":
				for range 5 {
					if err := pause(ctx, 4*time.Second); err != nil {
						return err
					}
					items[0].InProgress()
				}
				return nil
			case "deaf":
				return pause(context.WithoutCancel(ctx), time.Minute)
			}
			return pause(ctx, time.Minute)
		})
		bulk.Timeout = 5 * time.Second
		r.append("long")
		r.start()
		r.pass(20 * time.Second)
		r.settled(0, 1)
		r.append("slow")
		r.pass(5 * time.Second)
		if len(r.dead) != 1 || r.dead[0].History[0].Error != "after the timeout of 5s: context canceled" {
			t.Errorf("dead are %+v", r.dead)
		}
		r.append("deaf")
		r.pass(time.Minute)
		if r.logged("ignores its timeout") != 1 || len(r.dead) != 1 {
			t.Errorf("the log has\n%s", &r.log)
		}
		r.settled(0, 3)
		r.seen = nil
	})
}

func TestBatchIsInterruptedWhenAPartitionIsLost(t *testing.T) {
	var bulk *consume.Reaction
	cfg := toward(&bulk)
	cfg.Retry.Attempts = 1
	run(t, 3, cfg, func(r *rig) {
		bulk = r.batch(consume.Batch{Size: 3, Wait: time.Minute}, func(ctx context.Context, _ []*consume.Item) error {
			return pause(ctx, time.Minute)
		})
		for p, tape := range r.topic.tapes {
			tape.once = p == 1
			tape.append("k", fmt.Sprint("p", p), 0)
		}
		r.start()
		r.pass(time.Second)
		r.seen = nil
		r.topic.tapes[1].lose()
		r.pass(time.Minute)
		r.sawSome("p0 p2") // In one batch again, and in their first attempt still.
		r.pass(time.Minute)
		r.settled(0, 1)
		r.settled(1, 0)
		r.settled(2, 1)
		if s := r.c.Stats(); s.Failed != 0 || s.Handled != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestStopDropsABatchThatGathers(t *testing.T) {
	var bulk *consume.Reaction
	run(t, 2, toward(&bulk), func(r *rig) {
		bulk = r.batch(consume.Batch{Size: 3, Wait: time.Hour}, fine)
		r.append("a1", "a2")
		r.topic.tapes[0].once = true
		r.start()
		r.topic.tapes[0].revoke()
		r.pass(0)
		for range 3 {
			r.topic.tapes[1].append("b", "b", 0)
		}
		r.pass(0)
		r.saw("b b b") // The other partition's message is not in it.
		r.finish()
		r.settled(0, 0)
		if r.since() != 0 {
			t.Errorf("stopping took %s", r.since())
		}
	})
}
