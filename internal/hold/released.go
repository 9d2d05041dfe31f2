package hold

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
	"github.com/tidings-go/tidings/store"
)

// released holds back what was handed out of a place behind a row that has failed: those rows are held in the store as before.
type released struct {
	places places // that failed while some of their rows are out

	mu   sync.Mutex
	keys *Keys
	kept map[uint64]bool // rows that stay when they are settled
}

func (r *released) begin(k *Keys) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.places.clear()
	r.keys, r.kept = k, map[uint64]bool{}
}

func (r *released) keep(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[id] = true
}

// Learn implements [consume.Holder]. There is nothing to learn: only what is free is offered.
func (*released) Learn(context.Context) error { return nil }

// Holds implements [consume.Holder].
func (r *released) Holds(d *broker.Delivery) bool { return r.places.has(placeOf(&d.Record)) }

// Hold implements [consume.Holder].
func (r *released) Hold(_ context.Context, later []*broker.Delivery) (bool, error) {
	for _, d := range later {
		r.keep(d.Sequence)
	}
	return true, nil
}

// Park implements [consume.Holder]. The row becomes dead where it is: before all that is held of its place.
func (r *released) Park(ctx context.Context, dead *consume.Dead) error {
	history, err := json.Marshal(dead.History)
	if err != nil {
		return fmt.Errorf("encode the error history: %w", err)
	}
	id := int64(dead.Delivery.Sequence)
	err = r.keys.cfg.Store.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		if _, failed := tx.StoreTx().Move(ctx, store.Dead, id); failed != nil {
			return failed
		}
		return tx.StoreTx().Note(ctx, id, history)
	})
	if err != nil {
		return err
	}
	r.keep(dead.Delivery.Sequence)
	r.places.add(placeOf(&dead.Delivery.Record))
	return nil
}
