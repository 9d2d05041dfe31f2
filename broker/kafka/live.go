package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// liveBuffer is how many live records wait for slow brokers before more are dropped.
const liveBuffer = 10_000

// Live implements [broker.Broker]. Records go to "{topic}.live", which is made if it is missing. Nobody waits for the brokers' answer: what they
// can't take now is lost.
func (b *Broker) Live(ctx context.Context, records []broker.Record) error {
	end, err := b.begin()
	if err != nil {
		return fmt.Errorf("kafka: send live: %w", err)
	}
	defer end()
	for i := range records {
		if err := b.live.check(ctx, &records[i]); err != nil {
			return fmt.Errorf("kafka: send live to %s: %w", records[i].Topic, err)
		}
	}
	for i := range records {
		b.live.send(&records[i])
	}
	return nil
}

// errNoRequests is for records that ask for an answer: Kafka can't tell whether anybody listens, and every process would need a topic for its answers.
var errNoRequests = fmt.Errorf("requests between processes are not possible on Kafka; use a broker like NATS, or call in process: %w", errors.ErrUnsupported)

// liveSender sends records that may be lost.
type liveSender struct {
	b *Broker

	mu    sync.Mutex // guards what follows
	cl    *kgo.Client
	known map[string]bool // topics that have a live topic
}

// check makes sure that a record can be sent at all.
func (s *liveSender) check(ctx context.Context, r *broker.Record) error {
	if _, asks := r.Header(broker.ReplyTo); asks {
		return errNoRequests
	}
	if n := wireSize(r); n > maxBatch {
		return fmt.Errorf("%w: it takes %d bytes, and live records at most %d", broker.ErrTooLarge, n, maxBatch)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[r.Topic] {
		return nil
	}
	if err := checkName("topic", r.Topic); err != nil {
		return err
	}
	if err := s.b.ensureLive(ctx, r.Topic); err != nil {
		return err
	}
	s.known[r.Topic] = true
	return s.open()
}

// open connects at first use; the lock is held.
func (s *liveSender) open() error {
	if s.cl != nil {
		return nil
	}
	cl, err := s.b.client(
		kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.MaxBufferedRecords(liveBuffer), kgo.ProducerBatchMaxBytes(maxBatch),
		kgo.RecordRetries(2), kgo.RecordDeliveryTimeout(attemptTimeout), kgo.ProducerLinger(0),
		// Keys are placed as in the durable topic; records without one are spread, so that listeners of a group share them.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)
	s.cl = cl
	return err
}

// send copies the record, because the caller may change it when Live has returned.
func (s *liveSender) send(r *broker.Record) {
	record := &kgo.Record{Topic: r.Topic + liveSuffix, Value: append([]byte(nil), r.Value...)}
	if r.Key != "" {
		record.Key = []byte(r.Key)
	}
	record.Headers = make([]kgo.RecordHeader, 0, len(r.Headers)+1)
	for _, h := range r.Headers {
		name, value := cloudevents.Kafka.ToWire(h.Name, h.Value)
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	if ownID(r) {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: idHeader, Value: []byte(r.ID)})
	}
	s.cl.TryProduce(context.Background(), record, nil)
}

func (s *liveSender) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cl != nil {
		s.cl.Close()
	}
}

// ensureLive makes the topics for the live records of topics that exist, where they are missing.
func (b *Broker) ensureLive(ctx context.Context, topics ...string) error {
	found, err := describeKnown(ctx, b.cl, topics...)
	if err != nil {
		return err
	}
	names := make([]string, len(topics))
	partitions := make(map[string]int, len(topics))
	for i, topic := range found {
		names[i] = topic.name + liveSuffix
		partitions[names[i]] = len(topic.leaders)
	}
	live, err := describe(ctx, b.cl, names...)
	if err != nil {
		return err
	}
	a := admin{b: b, cl: kadm.NewClient(b.cl)}
	var made []string
	for _, topic := range live {
		if !topic.missing {
			continue
		}
		if err = a.createLive(ctx, topic.name, partitions[topic.name]); err != nil {
			return err
		}
		made = append(made, topic.name)
	}
	return await(ctx, b.cl, 1, made...)
}
