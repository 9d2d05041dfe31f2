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
	for _, always := range []bool{true, false} {
		b.Run(fmt.Sprintf("syncAlways=%v", always), func(b *testing.B) {
			run(b, startServer(b, func(o *server.Options) { o.SyncAlways = always }))
		})
	}
}

func BenchmarkEndToEnd(b *testing.B) {
	modes(b, func(b *testing.B, s *natsServer) {
		publisher, reader := open(b, s.url(), nats.Config{}), open(b, s.url(), nats.Config{})
		if _, err := publisher.Topics(b.Context(), broker.Apply, broker.Topic{Name: "bench"}); err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		var read atomic.Int64
		all, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- reader.Consume(ctx, broker.Reader{Group: "g", Topics: []string{"bench"}}, func(ctx context.Context, p broker.Partition) {
				for {
					deliveries, err := p.Fetch(ctx, 256, 1<<20)
					if err != nil {
						return
					}
					if err := p.Settle(ctx, broker.Settlement{Next: deliveries[len(deliveries)-1].Sequence + 1}); err != nil {
						return
					}
					if n := int64(len(deliveries)); read.Add(n) == int64(b.N) {
						close(all)
					}
				}
			})
		}()
		const perCall = 100
		value := make([]byte, 256)
		b.ReportAllocs()
		b.ResetTimer()
		var stored sync.WaitGroup
		stored.Add(b.N)
		for from := 0; from < b.N; from += perCall {
			records := make([]broker.Record, min(perCall, b.N-from))
			for i := range records {
				records[i] = broker.Record{Topic: "bench", Key: fmt.Sprint("key", i), ID: fmt.Sprint(from + i), Value: value, Headers: benchHeaders()}
			}
			publisher.Publish(ctx, records, func(_ int, _ broker.Receipt, err error) {
				if err != nil {
					b.Error(err)
				}
				stored.Done()
			})
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
		js := raw(b, s)
		stream, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "raw", Subjects: []string{"raw.*"}, AllowAtomicPublish: true})
		if err != nil {
			b.Fatal(err)
		}
		_ = stream
		consumer, err := raw(b, s).CreateConsumer(b.Context(), "raw", jetstream.ConsumerConfig{Durable: "g", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
		if err != nil {
			b.Fatal(err)
		}
		var read atomic.Int64
		all := make(chan struct{})
		consuming, err := consumer.Consume(func(m jetstream.Msg) {
			_ = m.Ack()
			if read.Add(1) == int64(b.N) {
				close(all)
			}
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

func raw(t testing.TB, s *natsServer) jetstream.JetStream {
	t.Helper()
	nc, err := natsgo.Connect(s.url())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
