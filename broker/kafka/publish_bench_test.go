//go:build unix

package kafka_test

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
)

func BenchmarkPublish(b *testing.B) {
	const group = 100
	br := open(b, kafka.Config{})
	b.Run("tidings", func(b *testing.B) {
		topic := newTopic(b, br, 4)
		used := cpu(b)
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
		used()
	})
	b.Run("raw", func(b *testing.B) {
		topic := newTopic(b, br, 4)
		cl := rawClient(b)
		used := cpu(b)
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
		used()
	})
}

// cpu starts the clocks. What it returns reports the throughput, and the processor time of this process, which says more on a busy machine.
func cpu(b *testing.B) (report func()) {
	b.Helper()
	b.ReportAllocs()
	before := processorTime(b)
	b.ResetTimer()
	return func() {
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
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
