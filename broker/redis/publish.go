package redis

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
)

// message is a record on its way: the one with that index in a call of Publish.
type message struct {
	record *broker.Record
	index  int
	done   func(int, broker.Receipt, error)

	// command is the XADD that stores it. Its stream is not known yet.
	command  []any
	size     int
	deadline time.Time
}

func (m *message) end(r broker.Receipt, err error) {
	if err != nil {
		err = fmt.Errorf("redis: publish to %s: %w", m.record.Topic, err)
	}
	m.done(m.index, r, err)
}

// Publish implements [broker.Broker]. A record whose topic or size is impossible fails at once, by itself. When the server can't be
// reached for as long as the publish timeout, everything that is buffered for the partition fails with the record that waited
// longest: else a later record of its key could be stored before it.
func (b *Broker) Publish(ctx context.Context, records []broker.Record, done func(i int, r broker.Receipt, err error)) {
	messages := make([]message, len(records))
	ready := make([]*message, 0, len(records))
	topic := ""
	for i := range records {
		m := &messages[i]
		*m = message{record: &records[i], index: i, done: done}
		if m.record.Topic != topic {
			b.enqueue(topic, ready)
			topic, ready = m.record.Topic, ready[len(ready):]
		}
		if err := m.prepare(b.cfg.MaxRecordBytes); err != nil {
			m.end(broker.Receipt{}, err)
			continue
		}
		if !b.room.TryEnter(m.size) {
			b.enqueue(topic, ready)
			ready = ready[len(ready):]
			if err := b.room.Enter(ctx, m.size); err != nil {
				m.end(broker.Receipt{}, fmt.Errorf("wait for room in the buffer of %d records and %d bytes: %w", b.cfg.BufferRecords, b.cfg.BufferBytes, err))
				continue
			}
		}
		m.deadline = time.Now().Add(b.cfg.PublishTimeout)
		ready = append(ready, m)
	}
	b.enqueue(topic, ready)
}

// What an XADD begins with: the stream is created by nobody but Topics.
const (
	streamArgument = 1
	addArguments   = 4
)

func (m *message) prepare(limit int) error {
	if err := checkRecord(m.record); err != nil {
		return err
	}
	m.command = make([]any, addArguments, addArguments+6+2*len(m.record.Headers))
	m.command[0], m.command[2], m.command[3] = "xadd", "nomkstream", "*"
	m.command, m.size = appendFields(m.command, m.record)
	return checkSize(m.size, limit)
}

func checkRecord(r *broker.Record) error {
	if err := checks.Name("topic", r.Topic); err != nil {
		return err
	}
	for i := range r.Headers {
		if h := &r.Headers[i]; !utf8.ValidString(h.Name) || !utf8.ValidString(h.Value) {
			return fmt.Errorf("the header %q is no UTF-8: %w", h.Name, broker.ErrInvalid)
		}
	}
	return nil
}

func checkSize(size, limit int) error {
	if size > limit {
		return fmt.Errorf("it has %d bytes with its headers, at most %d are taken (Config.MaxRecordBytes): %w", size, limit, broker.ErrTooLarge)
	}
	return nil
}

// enqueue gives messages to their topic's outlet.
func (b *Broker) enqueue(topic string, messages []*message) {
	if len(messages) == 0 {
		return
	}
	b.mu.Lock()
	closed := b.closing.Err() != nil
	if !closed {
		o := b.outlets[topic]
		if o == nil {
			o = &outlet{b: b, name: topic, stale: true}
			b.outlets[topic] = o
		}
		o.add(messages)
	}
	b.mu.Unlock()
	if closed {
		b.fail(messages, broker.ErrClosed)
	}
}

func (b *Broker) fail(messages []*message, err error) {
	for _, m := range messages {
		m.end(broker.Receipt{}, err)
		b.room.Leave(m.size)
	}
}

// confirm ends messages that were stored with those IDs.
func (b *Broker) confirm(messages []*message, partition int, ids []entryID) {
	for i, m := range messages {
		m.end(broker.Receipt{Topic: m.record.Topic, Partition: partition, Sequence: ids[i].sequence()}, nil)
		b.room.Leave(m.size)
	}
}

// giveUp is why messages fail that waited behind one that could not be stored.
func giveUp(err error) error { return fmt.Errorf("a record before this one: %w", err) }

// gone reports whether a topic has to be looked up again.
func gone(err error) bool { return errors.Is(err, broker.ErrUnknownTopic) }
