package outbox

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/tidings-go/tidings/store"
)

// failure is an entry of a dead row's history, in the form that the consume engine gives it.
type failure struct {
	Time    time.Time `json:"time"`
	Attempt int       `json:"attempt"`
	Error   string    `json:"error"`
}

// park replaces a row by a dead one that says why, in one transaction.
func (r *relay) park(ctx context.Context, p poison) error {
	row, err := r.find(ctx, p.id)
	if err != nil {
		return err
	}
	if row.ID == 0 {
		return nil // Somebody has taken it away.
	}
	row.State = store.Dead
	row.History, err = json.Marshal([]failure{{Time: time.Now().UTC(), Attempt: 1, Error: p.err.Error()}})
	if err != nil {
		return err
	}
	err = r.store.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		n, moved := tx.StoreTx().Move(ctx, store.Gone, p.id)
		if moved != nil || n == 0 {
			return moved
		}
		return tx.StoreTx().Append(ctx, row)
	})
	if err != nil {
		return err
	}
	r.cfg.Stats.Parked.Add(1)
	r.cfg.Log.LogAttrs(ctx, slog.LevelError, "the broker can't take a message, it was moved to the dead letters of the outbox",
		slog.Int64("row", p.id), slog.String("topic", row.Record.Topic), slog.String("id", row.MessageID), slog.Any("error", p.err))
	return nil
}

// find reads a ready row of the outbox. Its id is 0 if there is none.
func (r *relay) find(ctx context.Context, id int64) (store.Row, error) {
	f := store.Filter{Queues: []string{""}, States: []store.State{store.Ready}, After: id - 1, Limit: 1}
	for row, err := range r.store.List(ctx, f) {
		if err != nil || row.ID != id {
			return store.Row{}, err
		}
		return row, nil
	}
	return store.Row{}, nil
}
