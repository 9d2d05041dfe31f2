package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// persist tries until the answer is certain, or ctx ends. Between tries it waits for the connection.
func (b *Broker) persist(ctx context.Context, try func(ctx context.Context) error) error {
	var last error
	pause := 20 * time.Millisecond
	for limit := shortTry; ; limit = min(2*limit, longTry) {
		if err := b.link.wait(ctx); err != nil {
			return errors.Join(err, last)
		}
		ctxTry, cancel := context.WithTimeout(ctx, limit)
		err := try(ctxTry)
		cancel()
		if err == nil || final(err) {
			return err
		}
		last = err
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the last try: %w", context.Cause(ctx), last)
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, time.Second)
	}
}

// final reports whether trying again would give the same answer.
func final(err error) bool {
	return broker.Permanent(err) || errors.Is(err, broker.ErrUnknownTopic) || errors.Is(err, broker.ErrClosed) || errors.Is(err, errForeign) ||
		errors.Is(err, errOverlap) || errors.Is(err, errBatchTooLong)
}

// atStart gives a server that has just been started, or a cluster that elects a leader, the time that publishing gives it.
func (b *Broker) atStart(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.cfg.PublishTimeout, fmt.Errorf("the server has not answered within the publish timeout of %v", b.cfg.PublishTimeout))
	defer cancel()
	defer context.AfterFunc(b.gone, cancel)()
	return b.persist(ctx, try)
}
