package memory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
)

// event is about what a service publishes.
type event struct {
	Tenant  string `json:"tenant_id"`
	Booking string `json:"booking_id"`
	Seats   int    `json:"seats"`
	Note    string `json:"note"`
}

func newBench(b *testing.B, size int) (*memory.Broker, []broker.Record) {
	b.Helper()
	m := memory.New(memory.Config{Retain: 1024})
	b.Cleanup(func() { m.Close() })
	if _, err := m.Topics(b.Context(), broker.Apply, broker.Topic{Name: "orders"}); err != nil {
		b.Fatal(err)
	}
	value, err := json.Marshal(event{Tenant: "0198c0de-0000-7000-8000-000000000001", Booking: "0198c0de-0000-7000-8000-000000000002", Seats: 2})
	if err != nil {
		b.Fatal(err)
	}
	records := make([]broker.Record, size)
	for i := range records {
		records[i] = broker.Record{Topic: "orders", Key: fmt.Sprint("key", i%64), Value: value, Headers: []broker.Header{
			{Name: "ce-specversion", Value: "1.0"},
			{Name: "ce-id", Value: "0198c0de-0000-7000-8000-000000000003"},
			{Name: "ce-type", Value: "tickets.BookingMade.v1"},
			{Name: "ce-source", Value: "/tickets"},
			{Name: "ce-time", Value: "2026-03-01T12:00:00.000000001Z"},
			{Name: "ce-partitionkey", Value: "key"},
			{Name: "content-type", Value: "application/json"},
		}}
	}
	return m, records
}

// ids are made before the clock runs: making them is not the broker's work.
func ids(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("0198c0de-0000-7000-8000-%012d", i)
	}
	return all
}

func fail(b *testing.B) func(int, broker.Receipt, error) {
	b.Helper()
	return func(_ int, _ broker.Receipt, err error) {
		if err != nil {
			b.Error(err)
		}
	}
}

func BenchmarkPublishOne(b *testing.B) {
	m, records := newBench(b, 1)
	id, done := ids(b.N), fail(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		records[0].ID = id[i]
		m.Publish(b.Context(), records, done)
	}
}

func BenchmarkPublishHundred(b *testing.B) {
	m, records := newBench(b, 100)
	id, done := ids(b.N), fail(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += len(records) {
		for j := range records[:min(len(records), b.N-i)] {
			records[j].ID = id[i+j]
		}
		m.Publish(b.Context(), records[:min(len(records), b.N-i)], done)
	}
}

// BenchmarkConsume publishes and reads everything at the same time: all of what the broker costs a record.
func BenchmarkConsume(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprint("publish=", size), func(b *testing.B) {
			m, records := newBench(b, size)
			id, done := ids(b.N), fail(b)
			wait := startReader(b, m)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += size {
				for j := range records[:min(size, b.N-i)] {
					records[j].ID = id[i+j]
				}
				m.Publish(b.Context(), records[:min(size, b.N-i)], done)
			}
			wait()
		})
	}
}

// startReader reads in the background; what it returns waits until b.N records were read.
func startReader(b *testing.B, m *memory.Broker) (wait func()) {
	b.Helper()
	var handled atomic.Int64
	all := make(chan struct{})
	begun := make(chan struct{}) // Before the group is known, only Retain records are kept for it.
	begin := sync.OnceFunc(func() { close(begun) })
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	each := func(ctx context.Context, p broker.Partition) {
		begin()
		for {
			deliveries, err := p.Fetch(ctx, 256, 1<<20)
			if err != nil {
				return
			}
			if err := p.Settle(ctx, broker.Settlement{Next: deliveries[len(deliveries)-1].Sequence + 1}); err != nil {
				b.Error(err)
			}
			if handled.Add(int64(len(deliveries))) == int64(b.N) {
				close(all)
			}
		}
	}
	go func() { ended <- m.Consume(ctx, broker.Reader{Group: "bench", Topics: []string{"orders"}}, each) }()
	<-begun
	return func() {
		<-all
		b.StopTimer()
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkChannel is the measure: a plain channel with the same JSON at both ends.
func BenchmarkChannel(b *testing.B) {
	c := make(chan []byte, 256)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for data := range c {
			var e event
			if err := json.Unmarshal(data, &e); err != nil {
				b.Error(err)
			}
		}
	}()
	b.ReportAllocs()
	for i := range b.N {
		data, err := json.Marshal(event{Tenant: "0198c0de-0000-7000-8000-000000000001", Booking: "0198c0de-0000-7000-8000-000000000002", Seats: i})
		if err != nil {
			b.Fatal(err)
		}
		c <- data
	}
	close(c)
	<-ended
}
