//go:build unix

package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/redis"
)

// The benchmarks with Raw in their names do with go-redis alone what the others do through this package: the same records, 256 bytes and
// five headers, on four streams at a time, in batches of the same size, through a server of the same kind. Compare their msg/s.

const (
	benchPartitions = 4
	benchBatch      = 500
)

// modes runs a benchmark on a server that writes everything to its disk before it answers, and on one that writes nothing.
func modes(b *testing.B, run func(b *testing.B, s *server)) {
	b.Helper()
	b.Run("fsync=always", func(b *testing.B) { run(b, startServer(b, durable...)) })
	b.Run("memory", func(b *testing.B) { run(b, startServer(b)) })
}

func benchRecords(n int) []broker.Record {
	value := make([]byte, 256)
	records := make([]broker.Record, n)
	for i := range records {
		records[i] = broker.Record{Topic: "bench", Key: fmt.Sprint("key", i), Value: value, Headers: []broker.Header{
			{Name: "ce-specversion", Value: "1.0"},
			{Name: "ce-type", Value: "tickets.BookingMade.v1"},
			{Name: "ce-source", Value: "/tickets"},
			{Name: "ce-time", Value: "2026-03-01T12:00:00Z"},
			{Name: "content-type", Value: "application/json"},
		}}
	}
	return records
}

func benchBroker(b *testing.B, s *server) *redis.Broker {
	b.Helper()
	client := open(b, s.url(), redis.Config{Log: slog.New(slog.DiscardHandler)})
	apply(b, client, broker.Topic{Name: "bench", Partitions: benchPartitions})
	return client
}

// meter measures from when it is made. On a machine that is busy otherwise, only the processor time that this process and the server
// have used can be compared.
type meter struct {
	b              *testing.B
	redis          *goredis.Client
	client, server float64
}

func newMeter(b *testing.B, s *server) *meter {
	b.Helper()
	m := &meter{b: b, redis: raw(b, s)}
	m.client, m.server = m.used()
	b.ReportAllocs()
	b.ResetTimer()
	return m
}

func (m *meter) report() {
	m.b.Helper()
	m.b.StopTimer()
	client, server := m.used()
	n := float64(m.b.N)
	m.b.ReportMetric(n/m.b.Elapsed().Seconds(), "msg/s")
	m.b.ReportMetric((client-m.client)/n*1e6, "client-µs/msg")
	m.b.ReportMetric((server-m.server)/n*1e6, "server-µs/msg")
}

// used are the seconds of processor time.
func (m *meter) used() (client, server float64) {
	m.b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		m.b.Fatal(err)
	}
	info, err := m.redis.InfoMap(context.Background(), "cpu").Result()
	if err != nil {
		m.b.Fatal(err)
	}
	for _, part := range []string{"used_cpu_user", "used_cpu_sys"} {
		seconds, err := strconv.ParseFloat(info["CPU"][part], 64)
		if err != nil {
			m.b.Fatal(err)
		}
		server += seconds
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds(), server
}

func BenchmarkPublish(b *testing.B) {
	modes(b, func(b *testing.B, s *server) {
		b.Helper()
		client := benchBroker(b, s)
		m := newMeter(b, s)
		publishAll(b, client, b.N)
		m.report()
	})
}

func publishAll(b *testing.B, client *redis.Broker, n int) {
	b.Helper()
	records := benchRecords(100)
	var stored sync.WaitGroup
	stored.Add(n)
	done := func(_ int, _ broker.Receipt, err error) {
		if err != nil {
			b.Error(err)
		}
		stored.Done()
	}
	for from := 0; from < n; from += len(records) {
		client.Publish(b.Context(), records[:min(len(records), n-from)], done)
	}
	stored.Wait()
}

func BenchmarkPublishRaw(b *testing.B) {
	modes(b, func(b *testing.B, s *server) {
		b.Helper()
		client := raw(b, s)
		m := newMeter(b, s)
		rawPublish(b, client, b.N)
		m.report()
	})
}

// rawPublish has a goroutine for each stream: one pipeline after the other.
func rawPublish(b *testing.B, client *goredis.Client, n int) {
	b.Helper()
	var running sync.WaitGroup
	for p := range benchPartitions {
		running.Go(func() {
			records := benchRecords(benchBatch)
			left := n / benchPartitions
			if p == 0 {
				left += n % benchPartitions
			}
			for ; left > 0; left -= benchBatch {
				pipe := client.Pipeline()
				for i := range min(left, benchBatch) {
					r := &records[i]
					values := make([]any, 0, 14)
					values = append(values, "key", r.Key)
					for _, h := range r.Headers {
						values = append(values, h.Name, h.Value)
					}
					pipe.XAdd(b.Context(), &goredis.XAddArgs{Stream: fmt.Sprint("raw", p), Values: append(values, "data", r.Value)})
				}
				if _, err := pipe.Exec(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
}

func BenchmarkConsume(b *testing.B) {
	modes(b, func(b *testing.B, s *server) {
		b.Helper()
		client := benchBroker(b, s)
		publishAll(b, client, b.N)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		var left atomic.Int64
		left.Store(int64(b.N))
		m := newMeter(b, s)
		err := client.Consume(ctx, broker.Reader{Group: "g", Topics: []string{"bench"}}, func(ctx context.Context, p broker.Partition) {
			for {
				deliveries, err := p.Fetch(ctx, benchBatch, 1<<20)
				if err != nil {
					return
				}
				if err = p.Settle(ctx, broker.Settlement{Next: deliveries[len(deliveries)-1].Sequence + 1}); err != nil {
					return
				}
				if left.Add(int64(-len(deliveries))) <= 0 {
					b.StopTimer() // idle readers take a moment to end
					cancel()
				}
			}
		})
		if err != nil {
			b.Error(err)
		}
		m.report()
	})
}

func BenchmarkConsumeRaw(b *testing.B) {
	modes(b, func(b *testing.B, s *server) {
		b.Helper()
		client := raw(b, s)
		rawPublish(b, client, b.N)
		m := newMeter(b, s)
		var running sync.WaitGroup
		for p := range benchPartitions {
			running.Go(func() { rawConsume(b, client, fmt.Sprint("raw", p)) })
		}
		running.Wait()
		m.report()
	})
}

// rawConsume reads a stream to its end, and acknowledges each batch in one call.
func rawConsume(b *testing.B, client *goredis.Client, stream string) {
	b.Helper()
	if err := client.XGroupCreateMkStream(b.Context(), stream, "g", "0").Err(); err != nil {
		b.Error(err)
		return
	}
	for {
		read, err := client.XReadGroup(b.Context(), &goredis.XReadGroupArgs{
			Group: "g", Consumer: "c", Streams: []string{stream, ">"}, Count: benchBatch, Block: -1,
		}).Result()
		if err != nil {
			return // there is nothing any more
		}
		ids := make([]string, len(read[0].Messages))
		for i, m := range read[0].Messages {
			ids[i] = m.ID
		}
		if err := client.XAck(b.Context(), stream, "g", ids...).Err(); err != nil {
			b.Error(err)
		}
	}
}
