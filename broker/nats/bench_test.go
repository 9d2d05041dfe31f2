//go:build unix

package nats_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/nats"
)

// The two benchmarks move the same messages, 256 bytes and five headers, through the same server, from publishing to the last acknowledgement.
// Compare their msg/s.

func modes(b *testing.B, run func(b *testing.B, s *natsServer)) {
	b.Helper()
	for _, always := range []bool{true, false} {
		b.Run(fmt.Sprintf("syncAlways=%v", always), func(b *testing.B) {
			run(b, startServer(b, func(o *server.Options) { o.SyncAlways = always }))
		})
	}
}

func BenchmarkEndToEnd(b *testing.B) {
	modes(b, func(b *testing.B, s *natsServer) {
		b.Helper()
		publisher, reader := open(b, s.url(), nats.Config{}), open(b, s.url(), nats.Config{})
		apply(b, publisher, broker.Topic{Name: "bench"})
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		var read counter
		all, ended := read.reaches(b.N), make(chan error, 1)
		go func() {
			ended <- reader.Consume(ctx, broker.Reader{Group: "g", Topics: []string{"bench"}}, read.all)
		}()
		value := make([]byte, 256)
		b.ReportAllocs()
		b.ResetTimer()
		var stored sync.WaitGroup
		stored.Add(b.N)
		done := func(_ int, _ broker.Receipt, err error) {
			if err != nil {
				b.Error(err)
			}
			stored.Done()
		}
		const perCall = 100
		for from := 0; from < b.N; from += perCall {
			records := make([]broker.Record, min(perCall, b.N-from))
			for i := range records {
				records[i] = broker.Record{Topic: "bench", Key: fmt.Sprint("key", i), ID: fmt.Sprint(from + i), Value: value, Headers: benchHeaders()}
			}
			publisher.Publish(ctx, records, done)
		}
		stored.Wait()
		<-all
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
}

// counter counts what is read.
type counter struct {
	read, want int64
	done       chan struct{}
}

func (c *counter) reaches(n int) <-chan struct{} {
	c.want, c.done = int64(n), make(chan struct{})
	return c.done
}

func (c *counter) add(n int) {
	if atomic.AddInt64(&c.read, int64(n)) == c.want {
		close(c.done)
	}
}

// all reads a partition and settles everything.
func (c *counter) all(ctx context.Context, p broker.Partition) {
	for {
		deliveries, err := p.Fetch(ctx, 256, 1<<20)
		if err != nil {
			return
		}
		if err := p.Settle(ctx, broker.Settlement{Next: deliveries[len(deliveries)-1].Sequence + 1}); err != nil {
			return
		}
		c.add(len(deliveries))
	}
}

func benchHeaders() []broker.Header {
	return []broker.Header{
		{Name: "ce-specversion", Value: "1.0"},
		{Name: "ce-type", Value: "tickets.BookingMade.v1"},
		{Name: "ce-source", Value: "/tickets"},
		{Name: "ce-time", Value: "2026-03-01T12:00:00Z"},
		{Name: "content-type", Value: "application/json"},
	}
}

func BenchmarkRawJetStream(b *testing.B) {
	modes(b, func(b *testing.B, s *natsServer) {
		b.Helper()
		js := raw(b, s)
		if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "raw", Subjects: []string{"raw.*"}}); err != nil {
			b.Fatal(err)
		}
		consumer, err := raw(b, s).CreateConsumer(b.Context(), "raw", jetstream.ConsumerConfig{Durable: "g", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
		if err != nil {
			b.Fatal(err)
		}
		var read counter
		all := read.reaches(b.N)
		consuming, err := consumer.Consume(func(m jetstream.Msg) {
			_ = m.Ack()
			read.add(1)
		}, jetstream.PullMaxMessages(1000))
		if err != nil {
			b.Fatal(err)
		}
		defer consuming.Stop()
		value := make([]byte, 256)
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			msg := &natsgo.Msg{Subject: fmt.Sprint("raw.", i%8), Data: value, Header: natsgo.Header{}}
			for _, h := range benchHeaders() {
				msg.Header.Set(h.Name, h.Value)
			}
			msg.Header.Set("Nats-Msg-Id", fmt.Sprint(i))
			if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
				b.Fatal(err)
			}
		}
		<-js.PublishAsyncComplete()
		<-all
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	})
}

func raw(tb testing.TB, s *natsServer) jetstream.JetStream {
	tb.Helper()
	nc, err := natsgo.Connect(s.url())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}
