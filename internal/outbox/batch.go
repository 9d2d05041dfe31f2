package outbox

import (
	"slices"
	"sync"

	"github.com/tidings-go/tidings/broker"
)

// batch is the rows of one call of Publish, and what became of them.
type batch struct {
	deliveries []broker.Delivery
	records    []broker.Record
	complete   chan struct{} // closed when all outcomes are there

	mu   sync.Mutex
	left int
	now  outcomes
}

// outcomes are what is known of a batch.
type outcomes struct {
	acked  []uint64
	poison []poison
	failed int
	err    error // the first of the failed
}

// poison is a row that the broker will never take.
type poison struct {
	id  int64
	err error
}

func newBatch(deliveries []broker.Delivery) *batch {
	b := &batch{deliveries: deliveries, records: make([]broker.Record, len(deliveries)), complete: make(chan struct{}), left: len(deliveries)}
	for i := range deliveries {
		b.records[i] = deliveries[i].Record
	}
	b.now.acked = make([]uint64, 0, len(deliveries))
	return b
}

// outcome is what Publish calls for each record.
func (b *batch) outcome(i int, _ broker.Receipt, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.deliveries[i].Sequence
	switch {
	case err == nil:
		b.now.acked = append(b.now.acked, id)
	case broker.Permanent(err):
		b.now.poison = append(b.now.poison, poison{int64(id), err})
	default:
		b.now.failed++
		if b.now.err == nil {
			b.now.err = err
		}
	}
	b.left--
	if b.left == 0 {
		close(b.complete)
	}
}

// result is a copy: outcomes may still come, when the batch was given up.
func (b *batch) result() outcomes {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.now
	r.acked, r.poison = slices.Clone(r.acked), slices.Clone(r.poison)
	return r
}
