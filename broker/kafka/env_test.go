package kafka_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/kafka"
	"github.com/tidings-go/tidings/internal/testenv"
)

// seeds are the brokers of a real Kafka.
func seeds(tb testing.TB) []string {
	tb.Helper()
	return strings.Split(strings.TrimPrefix(testenv.Kafka(tb), "kafka://"), ",")
}

// through makes a client reach its only broker by a proxy, wherever the broker says that it is.
func through(p *brokertest.Proxy) kgo.Opt {
	return kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, p.Address())
	})
}

func open(tb testing.TB, cfg kafka.Config) *kafka.Broker {
	tb.Helper()
	b, err := kafka.Open(tb.Context(), seeds(tb), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

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
