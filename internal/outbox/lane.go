package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/tidings-go/tidings/broker"
)

// lane relays one lane: fetch, publish, settle. Settling goes on beside the rest, and while a full batch is published the next is fetched.
type lane struct {
	*relay
	partition broker.Partition
	number    atomic.Int64
}

// run returns when the lane is to be given back, or with what failed. What was acknowledged until then is settled.
func (l *lane) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	acked := newSettler(l.settle, l.cfg.Gather)
	var settling sync.WaitGroup
	settling.Go(func() {
		if err := acked.run(ctx); err != nil {
			cancel(err)
		}
	})
	err := l.learn(ctx)
	if err == nil {
		err = l.publishAll(ctx, acked)
	}
	acked.close()
	settling.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// fetched is what one call of Fetch gave.
type fetched struct {
	deliveries []broker.Delivery
	err        error
}

// publishAll returns when the lane is to be given back, or with what failed.
func (l *lane) publishAll(ctx context.Context, acked *settler) error {
	ctx, cancel := context.WithCancel(ctx)
	next := make(chan fetched, 1)
	var fetching sync.WaitGroup
	defer fetching.Wait()
	defer cancel()
	fetch := func() {
		fetching.Go(func() {
			deliveries, err := l.partition.Fetch(ctx, l.cfg.Batch, l.cfg.Bytes)
			next <- fetched{deliveries, err}
		})
	}
	fetch()
	for {
		f := <-next
		if errors.Is(f.err, io.EOF) {
			return nil
		}
		if f.err != nil {
			return fmt.Errorf("fetch: %w", f.err)
		}
		full := l.isFull(f.deliveries)
		if full {
			fetch()
		}
		if err := l.publish(ctx, f.deliveries, acked); err != nil {
			return err
		}
		if !full { // Only now, so that what is committed meanwhile comes together.
			fetch()
		}
	}
}

// settle deletes rows. Only this is success: a lane whose rows can't be deleted would else publish them again and again, without a pause.
func (l *lane) settle(ctx context.Context, ids []uint64) error {
	if err := l.partition.Settle(ctx, broker.Settlement{Done: ids}); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	l.succeeded(l.number.Load())
	return nil
}

// isFull reports whether there is probably more where these came from.
func (l *lane) isFull(deliveries []broker.Delivery) bool {
	size := 0
	for i := range deliveries {
		size += deliveries[i].Size()
	}
	return len(deliveries) >= l.cfg.Batch || size >= l.cfg.Bytes
}

// publish publishes a batch and waits for its outcome. It fails if any row failed for another reason than its own.
func (l *lane) publish(ctx context.Context, deliveries []broker.Delivery, acked *settler) error {
	if len(deliveries) == 0 {
		return nil
	}
	l.number.Store(int64(deliveries[0].Partition))
	deliveries, err := l.hold(ctx, deliveries)
	if err != nil {
		return fmt.Errorf("hold: %w", err)
	}
	if len(deliveries) == 0 {
		return nil
	}
	result, err := l.deliver(ctx, deliveries)
	if len(result.acked) > 0 {
		acked.add(result.acked)
	}
	if err != nil {
		return err
	}
	if result.err != nil {
		return fmt.Errorf("publish: %w", result.err)
	}
	return ctx.Err()
}
