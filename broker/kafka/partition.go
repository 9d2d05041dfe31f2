package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
)

// Why a partition's context ended.
var (
	errGivenBack = errors.New("the partition was given back")
	errLost      = errors.New("the partition was lost to another replica")
	errTooSlow   = errors.New("the partition moves to another replica and was not given back in time")
)

// place is where records are.
type place struct {
	topic     string
	partition int32
}

func (p place) String() string { return fmt.Sprintf("%s/%d", p.topic, p.partition) }

// partition is a [broker.Partition]: one call of a reader's function has it.
type partition struct {
	place
	source *source
	ctx    context.Context //nolint:containedctx // Its end is what ends all that goes on with the partition.
	cancel context.CancelCauseFunc
	// until is the offset at which the partition ends for a reader to the end. Negative: it doesn't.
	until int64
	// settled is called with the lock held when the position has grown. It may be nil.
	settled func()
	wake    chan struct{} // for a Fetch that waits

	mu     sync.Mutex // guards what follows
	queue  []*kgo.Record
	bytes  int
	paused bool // the source sends nothing, because the queue is full
	ending bool // it is to be given back
	ended  bool // Fetch has said so, or will
	// next is the offset that comes next from the source, position what the next owner begins with.
	next, fetched, position int64
}

var _ broker.Partition = (*partition)(nil)

func newPartition(ctx context.Context, at place, s *source, from, until int64) *partition {
	p := &partition{place: at, source: s, until: until, wake: make(chan struct{}, 1), next: from, fetched: from, position: from}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	return p
}

// Fetch implements [broker.Partition].
func (p *partition) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	for {
		records, err := p.take(limit, maxBytes)
		if err != nil {
			return nil, err
		}
		if deliveries := toDeliveries(records); len(deliveries) > 0 {
			return deliveries, nil
		}
		if len(records) > 0 {
			continue // There was nothing but marks of transactions.
		}
		select {
		case <-p.wake:
		case <-p.ctx.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns what is there, at least one record if there is any.
func (p *partition) take(limit, maxBytes int) ([]*kgo.Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return nil, fmt.Errorf("kafka: fetch from %s: %w", p.place, context.Cause(p.ctx))
	}
	if p.ending {
		p.ended = true
		return nil, io.EOF
	}
	n, bytes := 0, 0
	for n < len(p.queue) && n < limit && (n == 0 || bytes+recordSize(p.queue[n]) <= maxBytes) {
		bytes += recordSize(p.queue[n])
		n++
	}
	if n == 0 {
		if p.until >= 0 && p.next >= p.until {
			p.ended = true
			return nil, io.EOF
		}
		return nil, nil
	}
	records := p.queue[:n:n]
	p.queue = p.queue[n:]
	p.bytes -= bytes
	p.fetched = records[n-1].Offset + 1
	p.source.regulate(p)
	return records, nil
}

// put takes in what the source has read.
func (p *partition) put(records []*kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range records {
		p.next = r.Offset + 1
		if p.until < 0 || r.Offset < p.until {
			p.queue = append(p.queue, r)
			p.bytes += recordSize(r)
		}
	}
	signal(p.wake)
	p.source.regulate(p)
}

// Settle implements [broker.Partition].
func (p *partition) Settle(_ context.Context, s broker.Settlement) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return fmt.Errorf("kafka: settle %s: %w", p.place, context.Cause(p.ctx))
	}
	if s.Next == 0 || offset(s.Next) <= p.position {
		return nil
	}
	if offset(s.Next) > p.fetched {
		return fmt.Errorf("kafka: settle %s: %w: sequence %d was not fetched yet", p.place, broker.ErrInvalid, s.Next-1)
	}
	p.position = offset(s.Next)
	if p.settled != nil {
		p.settled()
	}
	return nil
}

// end makes Fetch return io.EOF.
func (p *partition) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ending = true
	signal(p.wake)
}

// close ends the partition for good, and reports whether Fetch has returned io.EOF. What is settled later has no effect.
func (p *partition) close(why error) (ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel(why)
	p.queue = nil
	return p.ended
}

// recordSize is about what a record occupies.
func recordSize(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

// signal makes sure that whoever receives from ch does so once more.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
