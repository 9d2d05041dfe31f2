// Package outbox moves what transactions left in the outbox to the broker.
//
//	err := outbox.Run(ctx, s, b, outbox.Config{}) // blocks until ctx ends
//
// For each lane that the store offers the relay fetches rows, publishes them in their order, and settles, which deletes, exactly those that
// the broker acknowledged. Nothing else is remembered: a relay that stops or dies leaves its rows, and the next begins with the oldest row that is present. So nothing is lost,
// some rows may be published twice, and the first occurrences of each key keep their order: whoever publishes a row has published all
// rows of its key before it, or found them deleted, that is acknowledged.
//
// One call of Publish is under way per lane. The next waits for its outcome, because a row of a key must not be on its way while an older
// one may still fail. When the relay is idle a row is published at once; while a call is under way rows gather for the next.
//
// A row that the broker can never take (see [broker.Permanent]) becomes a dead row of the outbox, with the error as its history. Later rows of its
// topic and key are held, so that they don't overtake it: all but those that were published with the same call, before its fate was known. Other keys go on.
// When a place has no dead row any more, because a person made it held too (release) or deleted it (discard), the held rows of that place
// are published in the order of their ids. After any other failure the lane is given back, and taken again a little later.
package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// How long to wait after the first failure of a lane, and at most.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// releasers is the queue, always empty, whose lane's owner publishes held rows: one relay of all at a time.
const releasers = "tidings/release"

// releasePoll is how often it is looked for places that are free again.
const releasePoll = time.Second

// Config holds what is optional. The zero value is useful.
type Config struct {
	// Batch is how many rows are published with one call. Default 2048. Two batches may be in memory per lane.
	Batch int
	// Bytes is how large a batch may be, about. Default 4 MiB.
	Bytes int
	// Gather is how long to wait at least between two deletions of what was acknowledged: deleting takes the database's time from
	// those who write. Default 10 milliseconds.
	Gather time.Duration
	// Stop is how long to wait, when ctx has ended, for the outcome of what is on its way. Default 10 seconds.
	Stop time.Duration
	// Stats gets what is counted, if it is not nil.
	Stats *Stats
	// Log gets failures. Default slog.Default.
	Log *slog.Logger
}

// Stats counts rows since the start. It may be read at any time.
type Stats struct {
	// Published rows were acknowledged by the broker.
	Published atomic.Int64
	// Failed rows were not, and will be published again. One row may be counted many times.
	Failed atomic.Int64
	// Parked rows were moved to the dead ones.
	Parked atomic.Int64
	// Held rows wait behind a parked one, or have waited.
	Held atomic.Int64
}

// Run relays until ctx ends, and then waits for the outcome of what is on its way, at most for Config.Stop. Failures are logged and tried
// again for ever; Run returns an error only if cfg is wrong or the store can't offer lanes at all.
func Run(ctx context.Context, s store.Store, b broker.Broker, cfg Config) error {
	if cfg.Batch < 0 || cfg.Bytes < 0 || cfg.Gather < 0 || cfg.Stop < 0 {
		return fmt.Errorf("outbox: Batch %d, Bytes %d, Gather %v and Stop %v must not be negative", cfg.Batch, cfg.Bytes, cfg.Gather, cfg.Stop)
	}
	r := &relay{store: s, broker: b, cfg: cfg.withDefaults(), failures: map[int64]int{}}

	// limit ends when nothing may be waited for any more.
	limit, end := context.WithCancel(context.WithoutCancel(ctx))
	var timing sync.WaitGroup
	timing.Go(func() {
		defer end()
		select {
		case <-ctx.Done():
			pause(limit, nil, r.cfg.Stop)
		case <-limit.Done():
		}
	})
	defer timing.Wait()
	defer end()
	running, stop := context.WithCancel(ctx)
	defer stop()
	lanes := func(queue string, run func(ctx context.Context, stopping <-chan struct{}, p broker.Partition)) error {
		defer stop() // If one can't go on, the other need not.
		return s.Lanes(running, queue, func(owned context.Context, p broker.Partition) {
			owned, cancel := context.WithCancel(owned)
			defer cancel()
			defer context.AfterFunc(limit, cancel)()
			run(owned, running.Done(), p)
		})
	}
	var releasing sync.WaitGroup
	var failed error
	releasing.Go(func() { failed = lanes(releasers, r.release) })
	err := lanes("", r.relay)
	releasing.Wait()
	return errors.Join(err, failed)
}

func (c Config) withDefaults() Config {
	c.Batch = cmp.Or(c.Batch, 2048)
	c.Bytes = cmp.Or(c.Bytes, 4<<20)
	c.Gather = cmp.Or(c.Gather, 10*time.Millisecond)
	c.Stop = cmp.Or(c.Stop, 10*time.Second)
	if c.Stats == nil {
		c.Stats = &Stats{}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// relay is what the lanes of one Run have in common.
type relay struct {
	store  store.Store
	broker broker.Broker
	cfg    Config

	stuck stuck

	mu       sync.Mutex
	failures map[int64]int // of each lane, since its last success
}

// relay moves the rows of one lane until it fails or is to be given back. After a failure it waits before it gives the lane back, so that
// neither the broker nor the database is asked again and again.
func (r *relay) relay(ctx context.Context, stopping <-chan struct{}, p broker.Partition) {
	l := &lane{relay: r, partition: p}
	err := l.run(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	number := l.number.Load()
	wait := r.backOff(number)
	r.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "the outbox could not be relayed, trying again",
		slog.Int64("lane", number), slog.Duration("wait", wait), slog.Any("error", err))
	pause(ctx, stopping, wait)
}

// backOff counts a failure and returns how long to wait: about twice as long as the time before.
func (r *relay) backOff(lane int64) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := min(firstPause<<min(r.failures[lane], 10), maxPause)
	r.failures[lane]++
	return wait/2 + rand.N(wait/2)
}

func (r *relay) succeeded(lane int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failures, lane)
}

// pause waits for d, or until ctx ends or stop is closed.
func pause(ctx context.Context, stop <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-stop:
	case <-timer.C:
	}
}
