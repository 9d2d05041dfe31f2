// Package tracking shows customers what becomes of their orders. It imports the events of package order, so that the compiler checks what it reads. Each event
// takes effect exactly once: what is written, and the note that the event was handled, are one transaction.
package tracking

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/store"
)

// Schema makes the module's tables. Steps are not unique on purpose: one that is taken twice is two rows, and the report counts them.
const Schema = `CREATE TABLE IF NOT EXISTS tracking (
	order_id TEXT   PRIMARY KEY,
	steps    BIGINT NOT NULL,
	place    TEXT   NOT NULL
);
CREATE TABLE IF NOT EXISTS tracking_steps (
	order_id TEXT   NOT NULL,
	step     BIGINT NOT NULL, -- counts the order's steps as they were taken
	revision BIGINT NOT NULL, -- of the order, as the event says
	text     TEXT   NOT NULL
);
CREATE INDEX IF NOT EXISTS tracking_steps_order ON tracking_steps (order_id)`

// TrackOrder asks what has become of an order.
var TrackOrder = tidings.DefineRequest[Track, Journey]("tracking", "TrackOrder", "v1")

// Track names the order.
type Track struct {
	OrderID string `json:"order_id"`
}

// Journey is what has become of an order.
type Journey struct {
	OrderID string `json:"order_id"`
	// Place is the depot at which the latest parcel was seen last.
	Place string   `json:"place,omitempty"`
	Steps []string `json:"steps"`
}

type tracking struct{ db *sql.DB }

// Add adds the module to an app. Its tables are in db, which is the database of the app's store.
func Add(app *tidings.App, db *sql.DB) {
	t := &tracking{db: db}
	m := app.AddModule("tracking")
	// These share a topic, so the steps of an order come in their order.
	m.Subscribe(tidings.Subscription{Name: "tracking"},
		tidings.OnTx(order.OrderCreatedV2, t.created),
		tidings.OnTx(order.OrderShipped, t.shipped),
		tidings.OnTx(order.OrderCancelled, t.cancelled))
	// Moves are on a topic of their own, and so in no order with the rest.
	m.Subscribe(tidings.Subscription{Name: "tracking-places"}, tidings.OnTx(order.OrderMoved, t.moved))
	m.Serve(tidings.Serve(TrackOrder, t.track))
}

// created also gets orders of v1, which say nothing of their items.
func (t *tracking) created(ctx context.Context, tx *store.SQLTx, e order.CreatedV2) error {
	return take(ctx, tx, e.OrderID, 1, fmt.Sprintf("ordered %d items for %d.%02d %s", len(e.Items), e.Amount/100, e.Amount%100, e.Currency))
}

func (t *tracking) shipped(ctx context.Context, tx *store.SQLTx, e order.Shipped) error {
	return take(ctx, tx, e.OrderID, e.Revision, fmt.Sprintf("parcel %d is on its way", e.Parcel))
}

func (t *tracking) cancelled(ctx context.Context, tx *store.SQLTx, e order.Cancelled) error {
	return take(ctx, tx, e.OrderID, e.Revision, "cancelled: "+e.Reason)
}

func (t *tracking) moved(ctx context.Context, tx *store.SQLTx, e order.Moved) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO tracking (order_id, steps, place) VALUES ($1, 0, $2)
		ON CONFLICT (order_id) DO UPDATE SET place = excluded.place`, e.OrderID, e.Place)
	if err != nil {
		return fmt.Errorf("tracking: move %s: %w", e.OrderID, err)
	}
	return nil
}

// take notes an order's next step.
func take(ctx context.Context, tx *store.SQLTx, id string, revision int64, text string) error {
	var step int64
	err := tx.QueryRowContext(ctx, `INSERT INTO tracking (order_id, steps, place) VALUES ($1, 1, '')
		ON CONFLICT (order_id) DO UPDATE SET steps = tracking.steps + 1 RETURNING steps`, id).Scan(&step)
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO tracking_steps (order_id, step, revision, text) VALUES ($1, $2, $3, $4)`, id, step, revision, text)
	}
	if err != nil {
		return fmt.Errorf("tracking: step of %s: %w", id, err)
	}
	return nil
}

func (t *tracking) track(ctx context.Context, q Track) (Journey, error) {
	j := Journey{OrderID: q.OrderID, Steps: []string{}}
	rows, err := t.db.QueryContext(ctx, `SELECT tracking.place, tracking_steps.text FROM tracking JOIN tracking_steps USING (order_id)
		WHERE order_id = $1 ORDER BY step`, q.OrderID)
	if err != nil {
		return j, fmt.Errorf("tracking: read %s: %w", q.OrderID, err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		var step string
		if err = rows.Scan(&j.Place, &step); err != nil {
			return j, fmt.Errorf("tracking: read %s: %w", q.OrderID, err)
		}
		j.Steps = append(j.Steps, step)
	}
	if err = rows.Err(); err != nil {
		return j, fmt.Errorf("tracking: read %s: %w", q.OrderID, err)
	}
	if len(j.Steps) == 0 {
		return j, fmt.Errorf("nothing is known of order %q, or not yet: %w", q.OrderID, tidings.CodeNotFound)
	}
	return j, nil
}
