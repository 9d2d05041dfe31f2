package kafka

import (
	"context"
	"log/slog"
	"sync"

	"github.com/tidings-go/tidings/broker"
)

// holding is what one call of Consume owns.
type holding struct {
	b *Broker
	// ctx is that of all tenures. It outlives the call's, and ends when the broker is closed.
	ctx context.Context //nolint:containedctx // Partitions derive their contexts from it.

	mu      sync.Mutex // guards what follows
	tenures map[place]*tenure
	ending  bool
	working sync.WaitGroup
}

func newHolding(ctx context.Context, b *Broker) *holding {
	return &holding{b: b, ctx: context.WithoutCancel(ctx), tenures: map[place]*tenure{}}
}

// begin offers a partition. If there was a tenure of the same place before, it has to end first.
func (h *holding) begin(t *tenure) {
	t.init(h.ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.tenures[t.place]
	if h.ending || before != nil && !before.isOver() {
		return
	}
	h.tenures[t.place] = t
	h.working.Go(func() { t.run(before) })
}

// get returns the tenures of places.
func (h *holding) get(places []place) []*tenure {
	h.mu.Lock()
	defer h.mu.Unlock()
	var tenures []*tenure
	for _, at := range places {
		if t := h.tenures[at]; t != nil {
			tenures = append(tenures, t)
		}
	}
	return tenures
}

// all returns all tenures.
func (h *holding) all() []*tenure {
	h.mu.Lock()
	defer h.mu.Unlock()
	tenures := make([]*tenure, 0, len(h.tenures))
	for _, t := range h.tenures {
		tenures = append(tenures, t)
	}
	return tenures
}

// end asks for everything back, and accepts nothing new.
func (h *holding) end() {
	h.mu.Lock()
	h.ending = true
	h.mu.Unlock()
	for _, t := range h.all() {
		t.end()
	}
}

// wait returns when all tenures are over: by themselves, because ctx ended, or because the broker was closed.
func (h *holding) wait(ctx context.Context) error {
	over := make(chan struct{})
	go func() {
		defer close(over)
		h.working.Wait()
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		h.end()
	case <-h.b.gone.Done():
	}
	select {
	case <-over:
		return nil
	case <-h.b.gone.Done():
		h.end()
		for _, t := range h.all() {
			t.lose(broker.ErrClosed)
		}
		<-over
		return broker.ErrClosed
	}
}

func (b *Broker) warn(ctx context.Context, msg string, at place, err error) {
	if ctx.Err() != nil {
		return
	}
	b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, msg, slog.String("partition", at.String()), slog.String("error", err.Error())) //nolint:sloglint // Callers' messages are constant.
}
