package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// failure is an entry of a dead row's history, in the form that the consume engine gives it.
type failure struct {
	Time    time.Time `json:"time"`
	Attempt int       `json:"attempt"`
	Error   string    `json:"error"`
}

// park makes a row dead, with why. From then on later rows of its place are held.
func (r *relay) park(ctx context.Context, p poison, record *broker.Record) error {
	history, err := json.Marshal([]failure{{Time: time.Now().UTC(), Attempt: 1, Error: p.err.Error()}})
	if err != nil {
		return fmt.Errorf("park row %d: %w", p.id, err)
	}
	moved := 0
	err = r.store.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		if moved, err = tx.StoreTx().Move(ctx, store.Dead, p.id); err != nil {
			return err
		}
		return tx.StoreTx().Note(ctx, p.id, history)
	})
	if err != nil {
		return fmt.Errorf("park row %d: %w", p.id, err)
	}
	if moved == 0 {
		return nil // Somebody has taken it away.
	}
	r.stuck.add(placeOf(record))
	r.cfg.Stats.Parked.Add(1)
	r.cfg.Log.LogAttrs(ctx, slog.LevelError, "the broker can't take a message, it was moved to the dead letters of the outbox and later ones of its key wait",
		slog.Int64("row", p.id), slog.String("topic", record.Topic), slog.String("key", record.Key), slog.Any("error", p.err))
	return nil
}
