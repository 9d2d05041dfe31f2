package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// Limits of one batch. The server takes 1000 messages; bytes are bounded so that a batch fits into what a slow connection
// sends before the try is over.
const (
	maxBatch      = 1000
	maxBatchBytes = 4 << 20
)

// lane stores the records of one topic, one batch after the other: while a batch is on its way, the next one gathers. Its
// goroutine lives only while there is something to store.
type lane struct {
	b     *Broker
	topic string

	mu      sync.Mutex
	queue   []*entry
	running bool

	// What follows belongs to the goroutine.
	limit int // of messages in a batch
	turn  int // the partition of the next record without a key
	// numbers are "1", "2" and so on, for the headers of batches.
	numbers []string
}

func newLane(b *Broker, topic string) *lane { return &lane{b: b, topic: topic, limit: maxBatch} }

// add is called under the broker's lock, so that Close knows of every goroutine.
func (l *lane) add(entries []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, entries...)
	if !l.running {
		l.running = true
		l.b.publishing.Go(l.run)
	}
}

func (l *lane) run() {
	for {
		batch := l.take()
		if batch == nil {
			return
		}
		if err := l.store(batch); err != nil {
			l.giveUp(err)
		}
	}
}

// take removes the next batch from the queue. Nil: there is none, and the goroutine ends.
func (l *lane) take() []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, bytes := 0, 0
	for n < len(l.queue) && n < l.limit && (n == 0 || bytes+l.queue[n].size <= maxBatchBytes) {
		bytes += l.queue[n].size
		n++
	}
	if n == 0 {
		l.running, l.queue = false, nil
		return nil
	}
	batch := l.queue[:n:n]
	l.queue = l.queue[n:]
	return batch
}

// giveUp fails what gathered behind a batch that could not be stored.
func (l *lane) giveUp(err error) {
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	l.fail(queue, fmt.Errorf("a record before this one: %w", err))
}

func (l *lane) fail(entries []*entry, err error) {
	l.b.finish(entries, func(int) (broker.Receipt, error) { return broker.Receipt{}, err })
}

// confirm ends entries that were stored one after the other, the first of them at sequence first.
func (l *lane) confirm(entries []*entry, first uint64) {
	l.b.finish(entries, func(i int) (broker.Receipt, error) {
		return broker.Receipt{Topic: l.topic, Partition: entries[i].partition, Sequence: first + uint64(i)}, nil //nolint:gosec // small
	})
}

// store ends every entry of a batch, one way or the other. An error means that the records behind it must not be stored either.
func (l *lane) store(batch []*entry) error {
	ctx, cancel := context.WithDeadlineCause(l.b.gone, batch[0].deadline,
		fmt.Errorf("the server has not confirmed it within the publish timeout of %v", l.b.cfg.PublishTimeout))
	defer cancel()
	var t *topic
	err := l.persist(ctx, func(ctx context.Context) (err error) {
		t, err = l.b.topic(ctx, l.topic)
		return err
	})
	if err != nil {
		l.fail(batch, err)
		return err
	}
	for _, e := range batch {
		e.partition = l.place(e.record.Key, len(t.subjects))
		e.msg.Subject = t.subjects[e.partition]
	}
	return l.storeTogether(ctx, batch)
}

func (l *lane) place(key string, partitions int) int {
	if key != "" {
		return partitionOf(key, partitions)
	}
	l.turn++
	return l.turn % partitions
}

// storeTogether stores a batch as one. If the server says that it has part of it already, or that a record is bad, each goes by itself.
func (l *lane) storeTogether(ctx context.Context, batch []*entry) error {
	if len(batch) == 1 {
		return l.storeSingly(ctx, batch)
	}
	mark(batch)
	var last uint64
	err := l.persist(ctx, func(ctx context.Context) (err error) {
		last, err = l.sendBatch(ctx, batch)
		return err
	})
	switch {
	case err == nil:
		l.confirm(batch, last-uint64(len(batch))+1)
		return nil
	case errors.Is(err, errBatchTooLong):
		l.limit = max(1, len(batch)/2)
		separate(batch)
		if err := l.storeTogether(ctx, batch[:l.limit]); err != nil {
			l.fail(batch[l.limit:], err)
			return err
		}
		return l.storeTogether(ctx, batch[l.limit:])
	case errors.Is(err, errOverlap), broker.Permanent(err):
		return l.storeSingly(ctx, batch)
	default:
		l.fail(batch, err)
		return err
	}
}

// storeSingly stores entries one by one, each confirmed before the next leaves. A batch that was refused because the server
// has part of it usually overlaps with what was stored before only at its beginning: after the first record that is new
// the rest is tried as one again, once.
func (l *lane) storeSingly(ctx context.Context, entries []*entry) error {
	separate(entries)
	identify(entries)
	tried := false
	for i, e := range entries {
		var sequence uint64
		var duplicate bool
		err := l.persist(ctx, func(ctx context.Context) (err error) {
			sequence, duplicate, err = l.sendOne(ctx, e.msg)
			return err
		})
		switch {
		case broker.Permanent(err):
			l.fail(entries[i:i+1], err)
			continue
		case err != nil:
			l.fail(entries[i:], err)
			return err
		case duplicate && isMark(e):
			l.confirm(entries[i:], sequence)
			return nil
		}
		l.confirm(entries[i:i+1], sequence)
		if rest := entries[i+1:]; !duplicate && !tried && len(rest) > 1 {
			tried = true
			ctxTry, cancel := context.WithTimeout(ctx, longTry)
			last, err := l.sendBatch(ctxTry, rest)
			cancel()
			if err == nil {
				l.confirm(rest, last-uint64(len(rest))+1)
				return nil
			}
			separate(rest)
		}
	}
	return nil
}

// persist tries until the answer is certain, or ctx ends. Between tries it waits for the connection.
func (l *lane) persist(ctx context.Context, try func(ctx context.Context) error) error {
	var last error
	pause := 20 * time.Millisecond
	for limit := shortTry; ; limit = min(2*limit, longTry) {
		if err := l.b.link.wait(ctx); err != nil {
			return errors.Join(err, last)
		}
		ctxTry, cancel := context.WithTimeout(ctx, limit)
		err := try(ctxTry)
		cancel()
		if err == nil || final(err) {
			return err
		}
		last = err
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the last try: %w", context.Cause(ctx), last)
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, time.Second)
	}
}

// final reports whether trying again would give the same answer.
func final(err error) bool {
	return broker.Permanent(err) || errors.Is(err, broker.ErrUnknownTopic) || errors.Is(err, broker.ErrClosed) || errors.Is(err, errForeign) ||
		errors.Is(err, errOverlap) || errors.Is(err, errBatchTooLong)
}
