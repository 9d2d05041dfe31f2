package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// call is one call of Publish.
type call struct {
	done func(int, broker.Receipt, error)
	// at is when it was made, in milliseconds: the records' time.
	at       int64
	deadline time.Time
}

// entry is a record on its way: the one with that index in its call.
type entry struct {
	record *broker.Record
	call   *call
	index  int
	size   int
}

func (e *entry) fail(err error) {
	e.call.done(e.index, broker.Receipt{}, fmt.Errorf("kafka: publish to %s: %w", e.record.Topic, err))
}

// failure is an entry that has to be told why it failed, once no lock is held.
type failure struct {
	entry
	err error
}

// Publish implements [broker.Broker]. A record that can never be stored fails by itself. Any other failure fails everything that is
// buffered for the same partition too: else a later record of a key could be stored before one that is published again.
func (b *Broker) Publish(ctx context.Context, records []broker.Record, done func(i int, r broker.Receipt, err error)) {
	p := b.producer
	now := time.Now()
	c := &call{done: done, at: now.UnixMilli(), deadline: now.Add(b.cfg.PublishTimeout)}
	for next := 0; next < len(records); {
		var failed []failure
		var room <-chan struct{}
		next, failed, room = p.admit(c, records, next)
		report(failed)
		if room == nil {
			continue
		}
		select {
		case <-room:
		case <-ctx.Done():
			err := fmt.Errorf("wait for room in the buffer of %d records and %d bytes: %w", b.cfg.BufferRecords, b.cfg.BufferBytes, context.Cause(ctx))
			for i := next; i < len(records); i++ {
				(&entry{record: &records[i], call: c, index: i}).fail(err)
			}
			return
		}
	}
}

func report(failed []failure) {
	for i := range failed {
		failed[i].fail(failed[i].err)
	}
}

// admit buffers records from next on. It returns which one comes next, those that can't be stored, and what to wait for if there is no room.
func (p *producer) admit(c *call, records []broker.Record, next int) (int, []failure, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var failed []failure
	for ; next < len(records); next++ {
		e := entry{record: &records[next], call: c, index: next, size: wireSize(&records[next])}
		if p.closed {
			failed = append(failed, failure{e, broker.ErrClosed})
			continue
		}
		t, err := p.topicOf(e.record.Topic)
		if err == nil {
			err = t.refuse(&e)
		}
		if err != nil {
			failed = append(failed, failure{e, err})
			continue
		}
		if !p.fits(e.size) {
			return next, failed, p.room
		}
		p.records++
		p.bytes += e.size
		t.add(e)
	}
	return next, failed, nil
}

// fits reports whether there is room. A record that is larger than the whole buffer fits when the buffer is empty.
func (p *producer) fits(size int) bool {
	return p.records == 0 || p.records < p.cfg.BufferRecords && p.bytes+size <= p.cfg.BufferBytes
}

// free gives the room of entries back; the lock is held.
func (p *producer) free(entries []entry) {
	if len(entries) == 0 {
		return
	}
	p.records -= len(entries)
	for i := range entries {
		p.bytes -= entries[i].size
	}
	close(p.room)
	p.room = make(chan struct{})
}
