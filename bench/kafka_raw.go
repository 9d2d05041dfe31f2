//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// raw connects as a careful author would: franz-go's defaults are idempotent publishing, acks of all replicas, snappy, and batches that gather for 10 ms.
func (k *kafkaServer) raw(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(k.seeds...)}, options...)...)
}

// rawRecord is a message as one without a framework may be: a key, and JSON.
func rawRecord(topic string, c cart) (*kgo.Record, error) {
	data, err := json.Marshal(c)
	return &kgo.Record{Topic: topic, Key: []byte(c.ID), Value: data}, err
}

// cloudEvent is what others who read CloudEvents expect: the headers that tidings writes, by hand.
func cloudEvent(topic string, c cart) (*kgo.Record, error) {
	r, err := rawRecord(topic, c)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	text := id.String()
	header := func(name, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: name, Value: []byte(value)} }
	r.Headers = []kgo.RecordHeader{
		header("ce_specversion", "1.0"), header("ce_id", text), header("ce_source", "/bench"), header("ce_type", "bench.CartCheckedOut.v1"),
		header("ce_subject", c.ID), header("ce_partitionkey", c.ID), header("ce_correlationid", text),
		header("ce_time", time.Now().UTC().Format(time.RFC3339Nano)), header("content-type", "application/json"),
	}
	return r, nil
}

// rawPublishing has one message in the topic, so that the client knows its way, when counting starts.
func (k *kafkaServer) rawPublishing(ctx context.Context, t *trial, topic string, publish func(cl *kgo.Client) error) error {
	cl, err := k.raw()
	if err != nil {
		return err
	}
	defer cl.Close()
	first, err := rawRecord(topic, newCart(0))
	if err != nil {
		return err
	}
	if err := cl.ProduceSync(ctx, first).FirstErr(); err != nil {
		return err
	}
	t.start()
	defer t.stop()
	return publish(cl)
}

type (
	makeRecord = func(topic string, c cart) (*kgo.Record, error)
	topicTrial = func(ctx context.Context, t *trial, topic string) error
)

// rawPublish waits for nothing but room in the client's buffer.
func (k *kafkaServer) rawPublish(record makeRecord) topicTrial {
	return func(ctx context.Context, t *trial, topic string) error {
		var failed error
		var once sync.Once
		note := func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		}
		err := k.rawPublishing(ctx, t, topic, func(cl *kgo.Client) error {
			err := eachCart(publishers, t.n, func(c cart) error {
				r, err := record(topic, c)
				if err == nil {
					cl.Produce(ctx, r, note)
				}
				return err
			})
			return errors.Join(err, cl.Flush(ctx))
		})
		return errors.Join(err, failed)
	}
}

// rawPublishSync waits for each message.
func (k *kafkaServer) rawPublishSync(record makeRecord) topicTrial {
	return func(ctx context.Context, t *trial, topic string) error {
		return k.rawPublishing(ctx, t, topic, func(cl *kgo.Client) error {
			return eachCart(oneByOne, t.n, func(c cart) error {
				r, err := record(topic, c)
				if err != nil {
					return err
				}
				return cl.ProduceSync(ctx, r).FirstErr()
			})
		})
	}
}

// rawGroup polls as a new member of a new group, until all is closed or ctx ends. What has been handled is marked, and committed every now and then.
func (k *kafkaServer) rawGroup(ctx context.Context, topic string, all <-chan struct{}, handle func(cl *kgo.Client, fetches kgo.Fetches)) error {
	cl, err := k.raw(kgo.ConsumerGroup(unique("raw")), kgo.ConsumeTopics(topic), kgo.AutoCommitMarks(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	polling, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-all:
			cancel()
		case <-polling.Done():
		}
	}()
	for polling.Err() == nil {
		fetches := cl.PollFetches(polling)
		if err := fetches.Err0(); err != nil && polling.Err() == nil {
			return err
		}
		handle(cl, fetches)
	}
	return ctx.Err()
}

func (k *kafkaServer) rawConsume(ctx context.Context, t *trial) error {
	handled, all := t.countdown()
	return k.rawGroup(ctx, k.filled, all, func(cl *kgo.Client, fetches kgo.Fetches) {
		fetches.EachRecord(func(r *kgo.Record) {
			if decodes(r.Value) {
				handled()
			}
		})
		cl.MarkCommitRecords(fetches.Records()...)
	})
}

// rawConsumeParallel has a goroutine for each partition, as franz-go's examples have.
func (k *kafkaServer) rawConsumeParallel(ctx context.Context, t *trial) error {
	handled, all := t.countdown()
	readers := readers{handled: handled, queues: map[int32]chan []*kgo.Record{}}
	defer readers.stop()
	return k.rawGroup(ctx, k.filled, all, func(cl *kgo.Client, fetches kgo.Fetches) {
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				readers.queue(cl, p.Partition) <- p.Records
			}
		})
	})
}

// readers are goroutines, one for each partition.
type readers struct {
	handled func()
	queues  map[int32]chan []*kgo.Record
	working sync.WaitGroup
}

func (r *readers) queue(cl *kgo.Client, partition int32) chan<- []*kgo.Record {
	if queue := r.queues[partition]; queue != nil {
		return queue
	}
	queue := make(chan []*kgo.Record, 4)
	r.queues[partition] = queue
	r.working.Go(func() {
		for records := range queue {
			for _, record := range records {
				if decodes(record.Value) {
					r.handled()
				}
			}
			cl.MarkCommitRecords(records...)
		}
	})
	return queue
}

func (r *readers) stop() {
	for _, queue := range r.queues {
		close(queue)
	}
	r.working.Wait()
}

// rawSlow handles each poll with a goroutine for each lane, by key, and polls again when all of it is done: only then is it clear what to commit.
func (k *kafkaServer) rawSlow(ctx context.Context, t *trial) error {
	handled, all := t.countdown()
	seed := maphash.MakeSeed()
	return k.rawGroup(ctx, k.filled, all, func(cl *kgo.Client, fetches kgo.Fetches) {
		var byLane [lanes][]*kgo.Record
		fetches.EachRecord(func(r *kgo.Record) {
			lane := maphash.Bytes(seed, r.Key) % lanes
			byLane[lane] = append(byLane[lane], r)
		})
		var working sync.WaitGroup
		for _, records := range byLane {
			if len(records) == 0 {
				continue
			}
			working.Go(func() {
				for _, r := range records {
					if decodes(r.Value) {
						<-time.After(work)
						handled()
					}
				}
			})
		}
		working.Wait()
		cl.MarkCommitRecords(fetches.Records()...)
	})
}

func decodes(data []byte) bool {
	var c cart
	return json.Unmarshal(data, &c) == nil
}
