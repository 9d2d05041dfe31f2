package nats

import (
	"context"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
)

// entry is a record on its way: the one with that index in a call of Publish.
type entry struct {
	record *broker.Record
	index  int
	done   func(int, broker.Receipt, error)

	msg  natsgo.Msg
	size int
	// identified says that the message has an ID of its own, so that the server knows it if it comes again.
	identified bool
	partition  int
	deadline   time.Time
}

func (e *entry) end(r broker.Receipt, err error) {
	if err != nil {
		err = fmt.Errorf("nats: publish to %s: %w", e.record.Topic, err)
	}
	e.done(e.index, r, err)
}

// Publish implements [broker.Broker]. A record whose topic or size is impossible fails at once, by itself. When the server can't be
// reached for as long as the publish timeout, everything that is buffered for the topic fails with the record that waited longest:
// else a later record of its key could be stored before it.
func (b *Broker) Publish(ctx context.Context, records []broker.Record, done func(i int, r broker.Receipt, err error)) {
	entries := make([]entry, len(records))
	ready := make([]*entry, 0, len(records))
	topic := ""
	for i := range records {
		e := &entries[i]
		*e = entry{record: &records[i], index: i, done: done}
		if e.record.Topic != topic {
			b.enqueue(topic, ready)
			topic, ready = e.record.Topic, ready[len(ready):]
		}
		if err := e.prepare(b.link.maxPayload.Load()); err != nil {
			e.end(broker.Receipt{}, err)
			continue
		}
		if !b.room.TryEnter(e.size) {
			b.enqueue(topic, ready)
			ready = ready[len(ready):]
			if err := b.room.Enter(ctx, e.size); err != nil {
				e.end(broker.Receipt{}, fmt.Errorf("wait for room in the buffer of %d records and %d bytes: %w", b.cfg.BufferRecords, b.cfg.BufferBytes, err))
				continue
			}
		}
		e.deadline = time.Now().Add(b.cfg.PublishTimeout)
		ready = append(ready, e)
	}
	b.enqueue(topic, ready)
}

func (e *entry) prepare(maxPayload int64) error {
	if err := checks.Name("topic", e.record.Topic); err != nil {
		return err
	}
	e.identified = e.record.ID != ""
	e.msg, e.size = encode(e.record)
	return checkSize(e.record, e.size, maxPayload)
}

// enqueue gives entries to their topic's lane.
func (b *Broker) enqueue(topic string, entries []*entry) {
	if len(entries) == 0 {
		return
	}
	b.mu.Lock()
	closed := b.closing.Err() != nil
	if !closed {
		l := b.lanes[topic]
		if l == nil {
			l = newLane(b, topic)
			b.lanes[topic] = l
		}
		l.add(entries)
	}
	b.mu.Unlock()
	if closed {
		b.finish(entries, func(int) (broker.Receipt, error) { return broker.Receipt{}, broker.ErrClosed })
	}
}

// finish tells the callers how their records ended, and gives the room back.
func (b *Broker) finish(entries []*entry, outcome func(i int) (broker.Receipt, error)) {
	for i, e := range entries {
		e.end(outcome(i))
		b.room.Leave(e.size)
	}
}
