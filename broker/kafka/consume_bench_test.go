//go:build unix

package kafka_test

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
)

// BenchmarkConsume reads a topic of b.N records with a new group.
func BenchmarkConsume(b *testing.B) {
	br := open(b, kafka.Config{})
	b.Run("tidings", func(b *testing.B) {
		topic := filled(b, br)
		ctx, stop := context.WithCancel(b.Context())
		defer stop()
		var read atomic.Int64
		used := cpu(b)
		err := br.Consume(ctx, broker.Reader{Group: "kb-" + rand.Text()[:12], Topics: []string{topic}}, func(held context.Context, p broker.Partition) {
			for {
				deliveries, err := p.Fetch(held, 512, 1<<20)
				if err != nil {
					return
				}
				if err := p.Settle(held, broker.Settlement{Next: deliveries[len(deliveries)-1].Sequence + 1}); err != nil {
					b.Error(err)
				}
				if read.Add(int64(len(deliveries))) == int64(b.N) {
					used()
					stop()
				}
			}
		})
		if err != nil {
			b.Error(err)
		}
	})
	b.Run("raw", func(b *testing.B) {
		topic := filled(b, br)
		used := cpu(b)
		cl := rawClient(b, kgo.ConsumerGroup("kb-"+rand.Text()[:12]), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
		for read := 0; read < b.N; {
			fetches := cl.PollFetches(b.Context())
			if err := fetches.Err(); err != nil {
				b.Fatal(err)
			}
			read += fetches.NumRecords()
			cl.CommitOffsets(b.Context(), cl.UncommittedOffsets(), nil)
		}
		used()
	})
}

// filled makes a topic with b.N records.
func filled(b *testing.B, br *kafka.Broker) string {
	b.Helper()
	topic := newTopic(b, br, 4)
	for n := 0; n < b.N; n += 10_000 {
		records := make([]broker.Record, min(10_000, b.N-n))
		for i := range records {
			records[i] = sample(topic, n+i)
		}
		publishAll(b, br, records)
	}
	return topic
}
