package consume

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// settleEvery is the least time between two settlements of a partition. The first after a quiet time goes out at once; under load one call carries
// what finished in between, so that brokers for which a settlement is a round trip or a transaction are not flooded.
const settleEvery = time.Millisecond

// keepSettled tells the broker what has finished, until stop is closed or it fails.
func (c *Consumer) keepSettled(ctx context.Context, p *partition, stop <-chan struct{}) error {
	pace := time.NewTimer(0)
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

// halt starts nothing of p any more and leaves what has not started to the next owner.
func (c *Consumer) halt(p *partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.halted = true
	for m := p.oldest; m != nil; m = m.newer {
		switch m.state {
		case running:
			continue
		case waiting:
			m.trouble.timer.Stop()
		default:
		}
		p.drop(m)
	}
	for _, b := range c.batches {
		b.messages = slices.DeleteFunc(b.messages, func(m *message) bool { return m.state == dropped })
		if len(b.messages) == 0 {
			c.forgetBatch(b)
		}
	}
	p.checkQuiet()
}

// checkQuiet closes quiet when p is halted and nothing runs.
func (p *partition) checkQuiet() {
	if p.count[running] == 0 {
		close(p.quiet)
	}
}

// awaitHandlers waits until no handler of p runs. After [Config.Stop] it interrupts them, and soon after that it leaves them behind:
// what they still finish is not settled.
func (c *Consumer) awaitHandlers(p *partition) {
	timer := time.NewTimer(c.cfg.Stop)
	defer timer.Stop()
	select {
	case <-p.quiet:
		return
	case <-timer.C:
	}
	p.cancel()
	timer.Reset(grace)
	select {
	case <-p.quiet:
	case <-timer.C:
		c.mu.Lock()
		left := p.count[running]
		c.mu.Unlock()
		c.log.LogAttrs(p.owned, slog.LevelError, "handlers ignored that their context ended and were left behind", slog.Int("messages", left))
	}
}
