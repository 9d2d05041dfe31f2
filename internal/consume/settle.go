package consume

import (
	"context"
	"fmt"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// settleEvery is the least time between two settlements of a partition. The first after a quiet time goes out at once; under load one call carries
// what finished in between, so that brokers for which a settlement is a round trip or a transaction are not flooded.
const settleEvery = time.Millisecond

// keepSettled tells the broker what has finished, until stop is closed or it fails.
func (c *Consumer) keepSettled(ctx context.Context, p *partition, stop <-chan struct{}) error {
	pace := time.NewTimer(settleEvery)
	defer pace.Stop()
	for {
		select {
		case <-p.dirty:
		case <-stop:
			return nil
		}
		if err := c.settle(ctx, p); err != nil {
			return err
		}
		pace.Reset(settleEvery)
		select {
		case <-pace.C:
		case <-stop:
			return nil
		}
	}
}

// settle settles what has finished, if anything. The next owner begins at the oldest message that is not.
func (c *Consumer) settle(ctx context.Context, p *partition) error {
	c.mu.Lock()
	s := broker.Settlement{Done: p.done, Next: p.last + 1}
	if p.oldest != nil {
		s.Next = p.oldest.delivery.Sequence
	}
	p.done = nil
	c.nudge(p)
	c.mu.Unlock()
	if len(s.Done) > 0 && ctx.Err() == nil {
		if err := p.source.Settle(ctx, s); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	return nil
}

// settled notes that a sequence is finished.
func (p *partition) settled(sequence uint64) {
	if len(p.done) == 0 {
		signal(p.dirty)
	}
	p.done = append(p.done, sequence)
}
