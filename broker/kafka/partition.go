package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

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

	unpacking sync.Mutex // guards open, the batch whose records come next
	open      unpacked

	mu             sync.Mutex // guards what follows
	queue          []parcel   // what was read ahead
	records, bytes int        // of the queue
	full           bool       // nothing is read until half of the queue is gone
	lost           bool       // nothing is read until it is known where to go on
	ending         bool       // it is to be given back
	ended          bool       // Fetch has said so, or will
	// next is what is read next, after a batch of that epoch, if it is known (not negative). Records before from are not ours. Fetched is
	// what comes after all that was delivered, position where the next owner begins.
	next, from, fetched, position int64
	epoch                         int32
}

var _ broker.Partition = (*partition)(nil)

func newPartition(ctx context.Context, at place, s *source, from, until int64) *partition {
	p := &partition{
		place: at, source: s, until: until, wake: make(chan struct{}, 1),
		next: from, from: from, fetched: from, position: from, epoch: -1,
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	return p
}

// Fetch implements [broker.Partition].
func (p *partition) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	for {
		if err := p.over(); err != nil {
			return nil, err
		}
		deliveries, err := p.unpack(limit, maxBytes)
		switch {
		case len(deliveries) > 0:
			return deliveries, nil
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		case err != nil:
			return nil, fmt.Errorf("kafka: fetch from %s: %w", p.place, err)
		}
		select {
		case <-p.wake:
		case <-p.ctx.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// over says whether the partition was lost, or is to be given back.
func (p *partition) over() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return fmt.Errorf("kafka: fetch from %s: %w", p.place, context.Cause(p.ctx))
	}
	if p.ending {
		p.ended = true
		return io.EOF
	}
	return nil
}

// unpack returns records that were read ahead, at least one if there is any, and io.EOF at the end of a reader to the end.
func (p *partition) unpack(limit, maxBytes int) ([]broker.Delivery, error) {
	p.unpacking.Lock()
	defer p.unpacking.Unlock()
	from, ahead := p.ahead()
	deliveries := make([]broker.Delivery, 0, min(limit, p.open.left+ahead))
	var headers shelf
	for bytes := 0; len(deliveries) < limit; {
		if p.open.left == 0 {
			next := p.pop()
			if next == nil {
				break
			}
			var err error
			if p.open, err = next.unpack(p.source.decompressor); err != nil {
				return nil, err
			}
			continue
		}
		if bytes += p.open.size(); bytes > maxBytes && len(deliveries) > 0 {
			break
		}
		n := len(deliveries)
		deliveries = append(deliveries, broker.Delivery{Record: broker.Record{Topic: p.topic}, Partition: int(p.partition)})
		if err := p.open.next(&deliveries[n], &headers); err != nil {
			return nil, err
		}
		at := offset(deliveries[n].Sequence)
		if at < from || p.until >= 0 && at >= p.until {
			deliveries = deliveries[:n]
		}
	}
	return deliveries, p.deliver(deliveries)
}

// ahead returns which records are ours, and about how many there are in the queue.
func (p *partition) ahead() (from int64, records int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.from, p.records
}

// pop returns the next batch, if there is one.
func (p *partition) pop() parcel {
	p.mu.Lock()
	if len(p.queue) == 0 {
		p.mu.Unlock()
		return nil
	}
	next := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	p.records -= next.count()
	p.bytes -= len(next)
	cfg := &p.source.b.cfg
	drained := p.full && p.records <= cfg.PrefetchRecords/2 && p.bytes <= cfg.PrefetchBytes/2
	if drained {
		p.full = false
	}
	p.mu.Unlock()
	if drained {
		p.source.stir(p.place)
	}
	return next
}

// deliver notes what Fetch returns. Without deliveries it says whether that is the end.
func (p *partition) deliver(deliveries []broker.Delivery) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(deliveries); n > 0 {
		p.fetched = max(p.fetched, offset(deliveries[n-1].Sequence)+1)
		return nil
	}
	if p.until >= 0 && p.next >= p.until && len(p.queue) == 0 && p.open.left == 0 {
		p.ended = true
		return io.EOF
	}
	return nil
}

// wants returns what is to be read next, unless nothing is.
func (p *partition) wants() (ask, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := p.until >= 0 && p.next >= p.until
	return ask{p, p.next, p.epoch}, !p.full && !p.lost && !done && p.ctx.Err() == nil
}

// skip ends a reader to the end when there is nothing between where it is and its end: what was there was compacted away.
func (p *partition) skip(from, to int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == from && p.until >= 0 && to >= p.until {
		p.next = p.until
		signal(p.wake)
	}
}

// put takes in what was read from an offset on.
func (p *partition) put(from int64, read *kmsg.FetchResponseTopicPartition) {
	aborted := newAbortions(read.AbortedTransactions)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != from || p.ctx.Err() != nil {
		return
	}
	for next, rest := firstParcel(read.RecordBatches); next != nil; next, rest = firstParcel(rest) {
		if next.isOld() {
			p.queue, p.lost = append(p.queue, next), true // for unpack to refuse
			break
		}
		if !aborted.drops(next) && next.last() >= from && (p.until < 0 || next.first() < p.until) {
			p.queue = append(p.queue, next)
			p.records += next.count()
			p.bytes += len(next)
		}
		p.next, p.epoch = max(p.next, next.last()+1), next.epoch()
	}
	cfg := &p.source.b.cfg
	p.full = p.records >= cfg.PrefetchRecords || p.bytes >= cfg.PrefetchBytes
	signal(p.wake)
}

// lose stops reading until [partition.find].
func (p *partition) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = true
}

// find goes on reading at an offset.
func (p *partition) find(next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = false
	p.next, p.epoch = next, -1
	p.from = min(p.from, next)
	signal(p.wake)
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
	p.queue, p.records, p.bytes = nil, 0, 0
	return p.ended
}

// signal makes sure that whoever receives from ch does so once more.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
