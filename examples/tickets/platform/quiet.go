package platform

import (
	"context"
	"fmt"
	"time"

	"github.com/tidings-go/tidings/store"
)

// Progress says what a platform has done and has still to do.
type Progress struct {
	// Messages is how many messages all topics hold together.
	Messages uint64
	// Lag is how many messages subscriptions have not finished.
	Lag uint64
	// Outbox is how many rows wait for the relay; it is not counted beyond 1,000.
	Outbox int64
}

// idle reports whether nothing waits anywhere.
func (p Progress) idle() bool { return p.Lag == 0 && p.Outbox == 0 }

// patience is how long broker and database may be away while Quiet waits: what is committed waits for them too.
const patience = 2 * time.Minute

// Quiet waits until the platform has come to rest: no subscription is behind, the outbox is empty, and then still no subscription is behind and no message
// has come. It calls progress, which may be nil, at each look. Nothing else may publish meanwhile.
func (p *Platform) Quiet(ctx context.Context, progress func(Progress)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var before Progress
	known, answered := false, time.Now()
	for {
		now, err := p.progress(ctx)
		switch {
		case err == nil && known && now.idle() && now == before:
			return nil
		case err == nil:
			before, known, answered = now, true, time.Now()
			if progress != nil {
				progress(now)
			}
		case ctx.Err() != nil:
			return fmt.Errorf("tickets: wait for rest: %d messages and %d outbox rows are left: %w", before.Lag, before.Outbox, ctx.Err())
		case time.Since(answered) > patience:
			return fmt.Errorf("tickets: wait for rest: %w", err)
		default:
			known = false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// progress looks at the topics first and at the outbox then: a row that is published in between is seen in the topics at the next look.
func (p *Platform) progress(ctx context.Context) (Progress, error) {
	var now Progress
	states, err := p.app.Topics(ctx)
	if err != nil {
		return now, err
	}
	for i := range states {
		now.Messages += states[i].Messages
		for _, lag := range states[i].Lag {
			now.Lag += lag
		}
	}
	now.Outbox, err = countRows(ctx, p.cfg.Store, store.Filter{Queues: []string{""}, Limit: 1000})
	return now, err
}
