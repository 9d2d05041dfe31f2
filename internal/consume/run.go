package consume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// A source that fails is tried again after a wait that doubles between these bounds.
var restart = Retry{Min: 100 * time.Millisecond, Max: 30 * time.Second}

// startup is how long a source that has offered nothing yet counts as starting.
const startup = 10 * time.Second

// Source calls each once for every partition, concurrently, and returns after all calls have returned.
type Source func(ctx context.Context, each func(ctx context.Context, p broker.Partition)) error

// Run consumes what source offers until source returns nil, which a broker's Consume does when ctx ends.
//
// A source that fails at the start, in its first ten seconds and before it has offered any partition, can't work: Run returns its error. Later
// failures are logged and the source is tried again, because a subscription must not end silently.
func (c *Consumer) Run(ctx context.Context, source Source) error {
	return c.RunHolding(ctx, nil, source)
}

// RunHolding is Run with a holder: a message that is given up on goes to it, and so does what comes later of that message's key. A batch has
// at most one message of a key then. A nil holder is none.
func (c *Consumer) RunHolding(ctx context.Context, holder Holder, source Source) error {
	var offered atomic.Bool
	each := func(pctx context.Context, p broker.Partition) {
		offered.Store(true)
		c.consume(ctx, pctx, p, holder)
	}
	var last string
	for failures := 1; ; failures++ {
		began := time.Now()
		err := source(ctx, each)
		switch {
		case err == nil || errors.Is(err, ctx.Err()):
			return nil
		case ctx.Err() != nil, failures == 1 && !offered.Load() && time.Since(began) < startup:
			return fmt.Errorf("consume: group %s: %w", c.cfg.Group, err)
		case time.Since(began) > restart.Max:
			failures, last = 1, "" // It had recovered in between.
		}
		if text := err.Error(); text != last {
			last = text
			c.log.LogAttrs(ctx, slog.LevelWarn, "consuming failed and will be tried again", slog.String("error", text))
		}
		if !sleep(ctx, restart.wait(failures)) {
			return nil
		}
	}
}

// sleep waits for d and says whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
