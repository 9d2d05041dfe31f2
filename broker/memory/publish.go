package memory

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/tidings-go/tidings/broker"
)

// stride is how many records are stored before done is called for them: their results fit on the stack.
const stride = 32

// Publish implements [broker.Broker]. It stores copies at once, so the records may be changed as soon as it returns, and it never
// waits: memory has no bounded buffer, and ctx is not looked at. A record with the ID of one of the topic's last
// 8,192 records is not stored again if that one is still held; its receipt is that of the first.
func (b *Broker) Publish(_ context.Context, records []broker.Record, done func(i int, r broker.Receipt, err error)) {
	var results [stride]result
	var failed map[string]error
	for start := 0; start < len(records); {
		topic := records[start].Topic
		end := start + 1
		for end < len(records) && end-start < stride && records[end].Topic == topic {
			end++
		}
		batch := results[:end-start]
		err := failed[topic]
		if err == nil {
			err = b.store(topic, records[start:end], batch)
		}
		if err != nil {
			// Later records of this topic must not be stored if earlier ones were not: the caller publishes the earlier ones again.
			if failed == nil {
				failed = make(map[string]error)
			}
			failed[topic] = err
		}
		for i := range batch {
			report(done, start+i, topic, &batch[i], err)
		}
		start = end
	}
}

// store puts records of one topic into it. An error is that of all of them; what is wrong with a single one is in its result.
func (b *Broker) store(topic string, records []broker.Record, results []result) error {
	t, err := b.find("publish", topic)
	if err != nil {
		return err
	}
	for i := range records {
		results[i] = result{err: b.server.check(&records[i])}
	}
	t.store(records, results)
	return nil
}

func report(done func(int, broker.Receipt, error), i int, topic string, r *result, err error) {
	if err == nil {
		err = r.err
	}
	if err != nil {
		done(i, broker.Receipt{}, fmt.Errorf("memory: publish to %q: %w", topic, err))
		return
	}
	done(i, broker.Receipt{Topic: topic, Partition: int(r.partition), Sequence: r.sequence}, nil)
}

// Live implements [broker.Broker]. A record that can't be sent is an error, and then none is.
func (b *Broker) Live(_ context.Context, records []broker.Record) error {
	topics := make([]*topic, len(records))
	for i := range records {
		t, err := b.find("live", records[i].Topic)
		if err == nil {
			err = b.server.check(&records[i])
		}
		if _, asks := records[i].Header(broker.ReplyTo); err == nil && asks && !t.heard() {
			err = broker.ErrNoListener
		}
		if err != nil {
			return fmt.Errorf("memory: send live to %q: %w", records[i].Topic, err)
		}
		topics[i] = t
	}
	for i, t := range topics {
		t.live(records[i : i+1])
	}
	return nil
}

// check says what makes a record impossible, here or on a broker that the program will move to.
func (s *server) check(r *broker.Record) error {
	if size := r.Size(); size > s.config.MaxRecordBytes {
		return fmt.Errorf("%d bytes, at most %d are possible: %w", size, s.config.MaxRecordBytes, broker.ErrTooLarge)
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		if h.Name == "" {
			return fmt.Errorf("header %d has no name: %w", i, broker.ErrInvalid)
		}
		if !utf8.ValidString(h.Value) {
			return fmt.Errorf("header %q is not UTF-8: %w", h.Name, broker.ErrInvalid)
		}
	}
	return nil
}
