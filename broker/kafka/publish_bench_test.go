package kafka_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
)

// sample is a record as a service publishes them.
func sample(topic string, i int) broker.Record {
	id := fmt.Sprintf("0198c0de-0000-7000-8000-%012d", i)
	return broker.Record{
		Topic: topic, Key: fmt.Sprint("tenant-1|booking-", i%1000), ID: id, Value: []byte(strings.Repeat(`{"seats":2,"price":1999}`, 10)),
		Headers: []broker.Header{
			{Name: "ce-specversion", Value: "1.0"},
			{Name: "ce-id", Value: id},
			{Name: "ce-source", Value: "/tickets"},
			{Name: "ce-type", Value: "tickets.BookingMade.v1"},
			{Name: "ce-time", Value: "2026-03-01T12:00:00.000001Z"},
			{Name: "content-type", Value: "application/json"},
		},
	}
}

// rawSample is the same for the client library.
func rawSample(topic string, r broker.Record) *kgo.Record {
	raw := &kgo.Record{Topic: topic, Key: []byte(r.Key), Value: r.Value}
	for _, h := range r.Headers {
		raw.Headers = append(raw.Headers, kgo.RecordHeader{Key: strings.Replace(h.Name, "ce-", "ce_", 1), Value: []byte(h.Value)})
	}
	return raw
}

func rawClient(tb testing.TB, options ...kgo.Opt) *kgo.Client {
	tb.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(seeds(tb)...)}, options...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cl.Close)
	return cl
}

// newTopic makes a topic of its own for a test.
func newTopic(tb testing.TB, b *kafka.Broker, partitions int) string {
	tb.Helper()
	name := "kt-" + rand.Text()[:12]
	if _, err := b.Topics(tb.Context(), broker.Apply, broker.Topic{Name: name, Partitions: partitions}); err != nil {
		tb.Fatal(err)
	}
	return name
}

func BenchmarkPublish(b *testing.B) {
	const group = 100
	br := open(b, kafka.Config{})
	b.Run("tidings", func(b *testing.B) {
		topic := newTopic(b, br, 4)
		b.ReportAllocs()
		b.ResetTimer()
		var open sync.WaitGroup
		for n := 0; n < b.N; n += group {
			records := make([]broker.Record, min(group, b.N-n))
			for i := range records {
				records[i] = sample(topic, n+i)
			}
			open.Add(len(records))
			br.Publish(b.Context(), records, func(_ int, _ broker.Receipt, err error) {
				if err != nil {
					b.Error(err)
				}
				open.Done()
			})
		}
		open.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("raw", func(b *testing.B) {
		topic := newTopic(b, br, 4)
		cl := rawClient(b)
		b.ReportAllocs()
		b.ResetTimer()
		var open sync.WaitGroup
		for n := 0; n < b.N; n += group {
			for i := range min(group, b.N-n) {
				open.Add(1)
				cl.Produce(b.Context(), rawSample(topic, sample(topic, n+i)), func(_ *kgo.Record, err error) {
					if err != nil {
						b.Error(err)
					}
					open.Done()
				})
			}
		}
		open.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}

// BenchmarkLatency publishes 200 records a second, one by one.
func BenchmarkLatency(b *testing.B) {
	br := open(b, kafka.Config{})
	topic := newTopic(b, br, 4)
	cl := rawClient(b)
	b.Run("tidings", func(b *testing.B) {
		paced(b, func(i int) {
			stored := make(chan struct{})
			br.Publish(b.Context(), []broker.Record{sample(topic, i)}, func(_ int, _ broker.Receipt, err error) {
				if err != nil {
					b.Error(err)
				}
				close(stored)
			})
			<-stored
		})
	})
	b.Run("raw", func(b *testing.B) {
		paced(b, func(i int) {
			if err := cl.ProduceSync(context.Background(), rawSample(topic, sample(topic, i))).FirstErr(); err != nil {
				b.Error(err)
			}
		})
	})
}

func paced(b *testing.B, publish func(i int)) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	publish(0)
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for i := range b.N {
		<-tick.C
		began := time.Now()
		publish(i)
		took[i] = time.Since(began)
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
