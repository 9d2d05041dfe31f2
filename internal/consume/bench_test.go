package consume_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

// treadmill is a partition with n messages that cost nothing to fetch and to settle.
type treadmill struct {
	records []broker.Delivery // repeated, with new sequences
	n       int
	next    uint64
	fetched []broker.Delivery
	settled int
	over    chan struct{}
	stop    <-chan struct{}
}

func (t *treadmill) Fetch(ctx context.Context, limit, _ int) ([]broker.Delivery, error) {
	if limit == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	limit = min(limit, t.n-int(t.next))
	if limit == 0 {
		<-t.stop
		return nil, io.EOF
	}
	t.fetched = t.fetched[:0]
	for range limit {
		d := t.records[int(t.next)%len(t.records)]
		d.Sequence = t.next
		t.next++
		t.fetched = append(t.fetched, d)
	}
	return t.fetched, nil
}

func (t *treadmill) Settle(_ context.Context, s broker.Settlement) error {
	t.settled += len(s.Done)
	if t.settled == t.n {
		close(t.over)
	}
	return nil
}

func benchmark(b *testing.B, keys, partitions int, reaction *consume.Reaction) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	treadmills := make([]*treadmill, partitions)
	for p := range treadmills {
		t := &treadmill{n: b.N/partitions + 1, over: make(chan struct{}), stop: ctx.Done()}
		for k := range max(keys, 1) {
			d := broker.Delivery{Record: broker.Record{Topic: "t", Value: make([]byte, 256)}, Partition: p}
			if keys > 0 {
				d.Key = fmt.Sprint("key-", k)
			}
			t.records = append(t.records, d)
		}
		treadmills[p] = t
	}
	c := consume.New(consume.Config{Group: "g", Route: func(*broker.Delivery) *consume.Reaction { return reaction }})
	b.ReportAllocs()
	b.ResetTimer()
	var run sync.WaitGroup
	run.Go(func() {
		_ = c.Run(ctx, func(ctx context.Context, each func(context.Context, broker.Partition)) error {
			var wg sync.WaitGroup
			for _, t := range treadmills {
				wg.Go(func() { each(context.WithoutCancel(ctx), t) })
			}
			wg.Wait()
			return nil
		})
	})
	for _, t := range treadmills {
		<-t.over
	}
	b.StopTimer()
	cancel()
	run.Wait()
}

// BenchmarkConsume is what the engine adds to each message: the handler does nothing.
func BenchmarkConsume(b *testing.B) {
	nothing := &consume.Reaction{Handle: func(context.Context, *broker.Delivery) error { return nil }}
	for _, keys := range []int{0, 1, 100, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) { benchmark(b, keys, 1, nothing) })
	}
	b.Run("partitions=8", func(b *testing.B) { benchmark(b, 1000, 8, nothing) })
	timeout := &consume.Reaction{Timeout: time.Minute, Handle: nothing.Handle}
	b.Run("timeout", func(b *testing.B) { benchmark(b, 1000, 1, timeout) })
	batch := &consume.Reaction{Batch: &consume.Batch{Handle: func(context.Context, []*consume.Item) error { return nil }}}
	b.Run("batch", func(b *testing.B) { benchmark(b, 1000, 1, batch) })
	b.Run("skip", func(b *testing.B) { benchmark(b, 1000, 1, nil) })
}
