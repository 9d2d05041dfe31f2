package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// persist tries until the answer is certain, or ctx ends.
func (b *Broker) persist(ctx context.Context, try func(ctx context.Context) error) error {
	pause := newPause()
	for limit := shortTry; ; limit = min(2*limit, longTry) {
		ctxTry, cancel := context.WithTimeout(ctx, limit)
		err := explain(try(ctxTry))
		cancel()
		if err == nil || final(err) {
			return err
		}
		b.lookAgain(ctx)
		if !pause.wait(ctx, nil) {
			return fmt.Errorf("%w; the last try: %w", context.Cause(ctx), err)
		}
	}
}

// final reports whether trying again would give the same answer.
func final(err error) bool {
	return broker.Permanent(err) || errors.Is(err, broker.ErrUnknownTopic) || errors.Is(err, broker.ErrClosed) || errors.Is(err, errForeign)
}

// atStart gives a server that has just been started, or is being replaced, the time that publishing gives it.
func (b *Broker) atStart(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.cfg.PublishTimeout, fmt.Errorf("the server has not answered within the publish timeout of %v", b.cfg.PublishTimeout))
	defer cancel()
	defer context.AfterFunc(b.gone, cancel)()
	return b.persist(ctx, try)
}

// pause is the time between two tries. It grows.
type pause struct {
	next time.Duration
}

func newPause() *pause { return &pause{next: 20 * time.Millisecond} }

// wait reports whether the pause came to its end before ctx or stop did.
func (p *pause) wait(ctx context.Context, stop <-chan struct{}) bool {
	timer := time.NewTimer(p.next/2 + rand.N(p.next))
	defer timer.Stop()
	p.next = min(2*p.next, time.Second)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-stop:
	}
	return false
}
