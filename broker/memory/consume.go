package memory

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings/broker"
)

// Consume implements [broker.Broker]. A group's position in a topic begins with its first Consume; a partition that each gave back
// is offered again at once. Without a group each is called once for every partition, and Consume returns when all calls have.
func (b *Broker) Consume(ctx context.Context, r broker.Reader, each func(ctx context.Context, p broker.Partition)) error {
	if r.Group != "" && r.ToEnd {
		return fmt.Errorf("memory: consume as group %q: reading to the end is only possible without a group: %w", r.Group, broker.ErrInvalid)
	}
	topics, err := b.findAll("consume", r.Topics)
	if err != nil {
		return err
	}
	if err := b.begin(); err != nil {
		return fmt.Errorf("memory: consume: %w", err)
	}
	defer b.calls.Done()
	var m *member
	if r.Group == "" {
		m = b.server.readAll(topics, r)
	} else {
		m = b.server.join(topics, r)
	}
	return b.serve(ctx, m, each)
}

// serve calls each for every partition that the member is given, until ctx ends and all calls have returned.
func (b *Broker) serve(ctx context.Context, m *member, each func(context.Context, broker.Partition)) error {
	var err error
	finished := make(chan *hold)
	running := 0
	ended, closed := ctx.Done(), b.closed
	for {
		if ended != nil && ctx.Err() != nil { // before anything is offered again: who leaves wants no more
			ended = nil
			b.server.leave(m)
		}
		for _, h := range b.server.take(m) {
			var held context.Context
			held, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
			running++
			go func() {
				defer func() { finished <- h }() // Also when each ends its goroutine, as a failed test does.
				each(held, h)
			}()
		}
		if running == 0 && (m.group == nil || ended == nil) {
			return err
		}
		select {
		case <-m.wake:
		case h := <-finished:
			running--
			b.server.release(h)
			h.cancel()
		case <-ended: // and the loop begins anew
		case <-closed:
			ended, closed = nil, nil
			b.server.expel(m)
			err = fmt.Errorf("memory: consume: %w", broker.ErrClosed)
		}
	}
}
