package consume_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

var errTest = errors.New("it failed")

// rig runs a consumer over a topic inside a bubble, where time stands still while anything can go on.
type rig struct {
	t     *testing.T
	topic *topic
	// holder is the consumer's, if any.
	holder consume.Holder
	c      *consume.Consumer
	began  time.Time
	stop   context.CancelFunc
	done   chan error

	mu   sync.Mutex
	seen []string // "value" of each handling, in order
	dead []*consume.Dead
	log  bytes.Buffer
}

// handler is a reaction's function.
type handler = func(ctx context.Context, d *broker.Delivery) error

// run runs body with a consumer that has not started.
func run(t *testing.T, partitions int, cfg consume.Config, body func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, topic: newTopic(partitions), began: time.Now(), done: make(chan error, 1)}
		cfg.Group = "shop.mailer"
		cfg.Log = slog.New(slog.NewTextHandler(r, nil))
		if cfg.DeadLetter == nil {
			cfg.DeadLetter = r.bury
		}
		r.c = consume.New(cfg)
		defer r.finish()
		body(r)
		r.finish()
		for _, tape := range r.topic.tapes {
			for _, b := range tape.broken {
				t.Error(b)
			}
		}
	})
}

// start starts the consumer and lets it go as far as it can without time passing.
func (r *rig) start() {
	r.startWith(context.Background())
}

func (r *rig) startWith(ctx context.Context) {
	ctx, r.stop = context.WithCancel(ctx)
	go func() { r.done <- r.c.RunHolding(ctx, r.holder, r.topic.source) }()
	synctest.Wait()
}

// finish stops the consumer, and fails when Run does.
func (r *rig) finish() {
	r.t.Helper()
	if r.stop == nil {
		return
	}
	r.stop()
	r.stop = nil
	if err := <-r.done; err != nil {
		r.t.Errorf("Run: %v", err)
	}
}

// pass lets time go by.
func (r *rig) pass(d time.Duration) {
	_ = pause(context.Background(), d)
	synctest.Wait()
}

// since is the time since the rig was made.
func (r *rig) since() time.Duration { return time.Since(r.began) }

// single makes a reaction that notes what it sees and, with the topic, what is finished.
func (r *rig) single(h handler) *consume.Reaction {
	return &consume.Reaction{Name: "mail", Handle: func(ctx context.Context, d *broker.Delivery) error {
		r.note("%s", d.Value)
		err := h(ctx, d)
		if err == nil {
			r.topic.tapes[d.Partition].finish(d.Sequence)
		}
		return err
	}}
}

func (r *rig) bury(_ context.Context, d *consume.Dead) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = append(r.dead, d)
	r.topic.tapes[d.Delivery.Partition].finish(d.Delivery.Sequence)
	return nil
}

func (r *rig) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, fmt.Sprintf(format, args...))
}

// saw fails unless exactly these notes were made since the last call, in this order.
func (r *rig) saw(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.seen, want) {
		r.t.Errorf("after %s: saw %q, want %q", r.since(), r.seen, want)
	}
	r.seen = nil
}

// sawSome is saw for what several workers did at once: the order is chance.
func (r *rig) sawSome(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	slices.Sort(r.seen)
	slices.Sort(want)
	r.mu.Unlock()
	r.saw(want...)
}

func (r *rig) settled(partition int, next uint64) {
	r.t.Helper()
	tape := r.topic.tapes[partition]
	tape.mu.Lock()
	defer tape.mu.Unlock()
	if tape.next != next {
		r.t.Errorf("after %s: partition %d is settled up to %d, want %d", r.since(), partition, tape.next, next)
	}
}

// Write takes the log.
func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *rig) logged(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), text)
}

func ok(context.Context, *broker.Delivery) error { return nil }

// toward is a configuration whose deliveries all go to one reaction, which is made later.
func toward(reaction **consume.Reaction) consume.Config {
	return consume.Config{Route: func(*broker.Delivery) *consume.Reaction { return *reaction }}
}
