package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"

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
	next  *batch // taken from the queue already
	limit int    // of messages in a batch
	turn  int    // the partition of the next record without a key
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
		b := l.take()
		if b == nil {
			return
		}
		if err := l.store(b); err != nil {
			l.giveUp(err)
		}
	}
}

// take removes the next batch from the queue. Nil: there is none, and the goroutine ends.
func (l *lane) take() *batch {
	if b := l.next; b != nil {
		l.next = nil
		return b
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.running, l.queue = false, nil
		return nil
	}
	return l.cut()
}

// takeFull removes the next batch if it is as large as it can be. Nil: it is not.
func (l *lane) takeFull() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) < l.limit {
		return nil
	}
	return l.cut()
}

func (l *lane) cut() *batch {
	n, bytes := 1, l.queue[0].size
	for n < len(l.queue) && n < l.limit && bytes+l.queue[n].size <= maxBatchBytes {
		bytes += l.queue[n].size
		n++
	}
	entries := l.queue[:n:n]
	l.queue = l.queue[n:]
	return &batch{entries: entries}
}

// giveUp fails what gathered behind a batch that could not be stored.
func (l *lane) giveUp(err error) {
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	if l.next != nil {
		queue = append(l.next.entries, queue...)
		l.next = nil
	}
	l.fail(queue, fmt.Errorf("a record before this one: %w", err))
}

func (l *lane) fail(entries []*entry, err error) {
	l.b.finish(entries, func(int) (broker.Receipt, error) { return broker.Receipt{}, err })
}

// confirm ends entries that were stored one after the other, the last of them at that sequence.
func (l *lane) confirm(entries []*entry, last uint64) {
	first := last + 1 - uint64(len(entries))
	l.b.finish(entries, func(i int) (broker.Receipt, error) {
		return broker.Receipt{Topic: l.topic, Partition: entries[i].partition, Sequence: first + uint64(i)}, nil
	})
}

// store ends every entry of a batch, one way or the other. An error means that the records behind it must not be stored either.
func (l *lane) store(b *batch) error {
	ctx, cancel := context.WithDeadlineCause(l.b.gone, b.entries[0].deadline,
		fmt.Errorf("the server has not confirmed it within the publish timeout of %v", l.b.cfg.PublishTimeout))
	defer cancel()
	err := l.b.persist(ctx, func(ctx context.Context) error { return l.place(ctx, b) })
	if err != nil {
		l.fail(b.entries, err)
		return err
	}
	return l.storeTogether(ctx, b)
}

// place gives each entry its partition, once.
func (l *lane) place(ctx context.Context, b *batch) error {
	if b.placed {
		return nil
	}
	t, err := l.b.topic(ctx, l.topic)
	if err != nil {
		return err
	}
	for _, e := range b.entries {
		if key := e.record.Key; key != "" {
			e.partition = partitionOf(key, len(t.subjects))
		} else {
			l.turn++
			e.partition = l.turn % len(t.subjects)
		}
		e.msg.Subject = t.subjects[e.partition]
	}
	b.placed = true
	return nil
}

// storeTogether stores a batch as one. If the server says that it has part of it already, or that a record is bad, each goes by itself.
func (l *lane) storeTogether(ctx context.Context, b *batch) error {
	if len(b.entries) == 1 {
		return l.storeSingly(ctx, b.entries)
	}
	b.mark()
	var last uint64
	err := l.b.persist(ctx, func(ctx context.Context) (err error) {
		last, err = l.sendBatch(ctx, b)
		return err
	})
	switch {
	case err == nil:
		l.confirm(b.entries, last)
		return nil
	case errors.Is(err, errBatchTooLong):
		return l.storeHalves(ctx, b)
	case errors.Is(err, errOverlap), broker.Permanent(err):
		return l.storeSingly(ctx, b.entries)
	default:
		l.fail(b.entries, err)
		return err
	}
}

// storeHalves is for a server that was configured to take smaller batches than usual. The lane remembers that.
func (l *lane) storeHalves(ctx context.Context, b *batch) error {
	separate(b.entries)
	half := len(b.entries) / 2
	l.limit = min(l.limit, half)
	if err := l.storeTogether(ctx, &batch{entries: b.entries[:half], placed: true}); err != nil {
		l.fail(b.entries[half:], err)
		return err
	}
	return l.storeTogether(ctx, &batch{entries: b.entries[half:], placed: true})
}

// storeSingly stores entries one by one, each confirmed before the next leaves. A batch that was refused because the server
// has part of it usually overlaps with what was stored before only at its beginning: after the first record that is new
// the rest is tried as one again, once.
func (l *lane) storeSingly(ctx context.Context, entries []*entry) error {
	separate(entries)
	identify(entries)
	tried := false
	for i, e := range entries {
		var ack pubAck
		err := l.b.persist(ctx, func(ctx context.Context) (err error) {
			ack, err = l.request(ctx, &e.msg)
			return err
		})
		switch {
		case broker.Permanent(err):
			l.fail(entries[i:i+1], err)
			continue
		case err != nil:
			l.fail(entries[i:], err)
			return err
		case ack.Duplicate && isMark(e): // so the server has all of them
			l.confirm(entries[i:], ack.Sequence+uint64(len(entries)-i-1))
			return nil
		}
		l.confirm(entries[i:i+1], ack.Sequence)
		if rest := entries[i+1:]; !ack.Duplicate && !tried && len(rest) > 1 {
			tried = true
			if l.tryTogether(ctx, rest) {
				return nil
			}
		}
	}
	return nil
}

func (l *lane) tryTogether(ctx context.Context, entries []*entry) bool {
	ctx, cancel := context.WithTimeout(ctx, longTry)
	defer cancel()
	last, err := l.sendBatch(ctx, &batch{entries: entries, placed: true})
	if err != nil {
		separate(entries)
		return false
	}
	l.confirm(entries, last)
	return true
}
