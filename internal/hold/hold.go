// Package hold keeps, for one subscription, what comes later of a key whose message was given up on, and gives it back in order once that
// message is resolved.
//
// All of it is rows of the subscription's queue in the store. The rows of one topic and key are a place:
//
//   - A dead row is a message that was given up on. It waits for a person, and everything of its place waits with it.
//   - A ready row is one that a person has sent back, edited or as it was. Ready rows are handled before held ones.
//   - A held row is a message that came later. Held rows are handled in the order of their ids, when no dead or ready row is left.
//
// So a key is held while its place has a row, whatever its state, and free when it has none. Three readers share the subscription's engine:
//
//	keys := hold.New(cfg)
//	c.RunHolding(ctx, keys.Arriving(), topics)        // what the broker delivers: it joins the held ones of its place, if there is any row
//	c.RunHolding(ctx, keys.Retried(), retried)        // ready rows
//	c.RunHolding(ctx, keys.Released(), keys.Lanes)    // held rows of places without dead and ready ones, by one replica of all
//
// Only who owns a key's partition adds rows to its place, and only while there is one: what was given up on makes the first. So when it finds
// none, nobody else handles anything of that key, and nobody will: it may handle the message itself. And what an owner before it has
// settled with the broker, it had stored; what it had not settled is delivered again, and stored once. Therefore it is enough to read
// the places after a partition was taken and before its first message is handled.
package hold

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
	"github.com/tidings-go/tidings/store"
)

// Config says whose keys are held and where. Log may be nil, the rest is needed.
type Config struct {
	// Group is the subscription's, and the name of its queue.
	Group string
	Store store.Store
	// Row makes the row for a delivery: its queue, record and identity.
	Row func(d *broker.Delivery) store.Row
	// Log gets what goes wrong. Default [slog.Default].
	Log *slog.Logger
}

// Keys are the keys of one subscription.
type Keys struct {
	cfg      Config
	arriving places // that may have rows
	learner  learner
	retried  places // of ready rows that have failed here
	released released
}

// New makes the keys of a subscription. It reads nothing before a partition is taken.
func New(cfg Config) *Keys {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Keys{cfg: cfg, learner: learner{turn: make(chan struct{}, 1)}}
}

// Arriving is the holder for what the broker delivers.
func (k *Keys) Arriving() consume.Holder {
	learn := func(ctx context.Context) error {
		return k.learner.learn(ctx, func() error { return k.arriving.read(ctx, k.cfg) })
	}
	return &keeper{keys: k, places: &k.arriving, learn: learn}
}

// Retried is the holder for the ready rows of the queue. There is nothing to learn: who sends a row back wants it handled, whatever else is dead.
// But people may send several of one place back at once, and when one fails again those after it are held.
func (k *Keys) Retried() consume.Holder {
	nothing := func(context.Context) error { return nil }
	return &keeper{keys: k, places: &k.retried, states: []store.State{store.Dead}, learn: nothing}
}

// Released is the holder for what [Keys.Lanes] offers.
func (k *Keys) Released() consume.Holder { return &k.released }

// Left reports whether a queue has held rows.
func Left(ctx context.Context, s store.Store, group string) (bool, error) {
	for _, err := range s.List(ctx, store.Filter{Queues: []string{group}, States: []store.State{store.Held}, Limit: 1}) {
		if err != nil {
			return false, fmt.Errorf("hold: look for held messages of %s: %w", group, err)
		}
		return true, nil
	}
	return false, nil
}

// has reports whether the place has a row in one of the states; nil is any.
func (k *Keys) has(ctx context.Context, p place, states []store.State) (bool, error) {
	f := store.Filter{Queues: []string{k.cfg.Group}, States: states, Key: p.key, Limit: 1}
	for {
		more := false
		for row, err := range k.cfg.Store.List(ctx, f) {
			if err != nil {
				return false, fmt.Errorf("look whether a key is held: %w", err)
			}
			if row.Record.Topic == p.topic {
				return true, nil
			}
			f.After, more = row.ID, true
		}
		if !more {
			return false, nil
		}
		f.Limit = 100 // The subscription has a key of the same name in another topic.
	}
}

// park appends the row of a message that was given up on.
func (k *Keys) park(ctx context.Context, dead *consume.Dead) error {
	row := k.cfg.Row(dead.Delivery)
	row.State = store.Dead
	var err error
	if row.History, err = json.Marshal(dead.History); err != nil {
		return fmt.Errorf("encode the error history: %w", err)
	}
	return k.append(ctx, row)
}

// keep appends the rows of messages that wait.
func (k *Keys) keep(ctx context.Context, later []*broker.Delivery) error {
	rows := make([]store.Row, len(later))
	for i, d := range later {
		rows[i] = k.cfg.Row(d)
		rows[i].State = store.Held
	}
	return k.append(ctx, rows...)
}

func (k *Keys) append(ctx context.Context, rows ...store.Row) error {
	return k.cfg.Store.InTx(ctx, func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, rows...) })
}

// keeper holds what comes from one source.
type keeper struct {
	keys *Keys
	// places are those that may hold, and states the rows that do: nil is all.
	places *places
	states []store.State
	learn  func(ctx context.Context) error
}

// Learn implements [consume.Holder].
func (h *keeper) Learn(ctx context.Context) error { return h.learn(ctx) }

// Holds implements [consume.Holder].
func (h *keeper) Holds(d *broker.Delivery) bool { return h.places.has(placeOf(&d.Record)) }

// Hold implements [consume.Holder].
func (h *keeper) Hold(ctx context.Context, later []*broker.Delivery) (bool, error) {
	p := placeOf(&later[0].Record)
	held, err := h.keys.has(ctx, p, h.states)
	if err != nil {
		return false, err
	}
	if !held {
		h.places.remove(p)
		return false, nil
	}
	err = h.keys.keep(ctx, later)
	h.places.add(p) // Who learns meanwhile may have looked when the rows that were there had gone, and these had not come.
	return true, err
}

// Park implements [consume.Holder].
func (h *keeper) Park(ctx context.Context, dead *consume.Dead) error {
	err := h.keys.park(ctx, dead)
	if err == nil {
		h.places.add(placeOf(&dead.Delivery.Record))
	}
	return err
}
