// Package order takes orders, ships and cancels them. It shows the three ways to publish: with the row that changes, in one transaction
// ([OrderCreatedV2], [OrderShipped], [OrderCancelled]); directly, where there is no row and the broker's receipt is wanted; and live, to whoever listens now
// (both [OrderMoved]).
//
// Other modules know it by its events and requests only.
package order

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// Schema makes the module's table.
const Schema = `CREATE TABLE IF NOT EXISTS orders (
	id          TEXT   PRIMARY KEY,
	amount      BIGINT NOT NULL,
	customer_id TEXT   NOT NULL,
	currency    TEXT   NOT NULL,
	items       TEXT   NOT NULL, -- JSON
	parcels     BIGINT NOT NULL, -- how many items there are
	shipped     BIGINT NOT NULL,
	status      TEXT   NOT NULL,
	revision    BIGINT NOT NULL
)`

type orders struct {
	module *tidings.Module
	db     *sql.DB
	log    *slog.Logger
}

// Add adds the module to an app. Its table is in db, which is the database of the app's store.
func Add(app *tidings.App, db *sql.DB, log *slog.Logger) {
	o := &orders{module: app.AddModule("order"), db: db, log: log}
	o.module.Emits(OrderCreatedV1, OrderCreatedV2, OrderShipped, OrderCancelled, OrderMoved)
	o.module.Serve(
		tidings.HandleTx(CreateOrder, o.create),
		tidings.HandleTx(ShipParcel, o.ship),
		tidings.HandleTx(CancelOrder, o.cancel),
		tidings.Serve(MoveParcel, o.move),
		tidings.Serve(FindOrder, func(ctx context.Context, f Find) (Order, error) { return find(ctx, db, f.OrderID) }),
	)
}

// create makes an order, and tells of it in both versions.
func (o *orders) create(ctx context.Context, tx *store.SQLTx, c Create) (Order, tidings.Events, error) {
	items, err := json.Marshal(c.Items)
	if err != nil {
		return Order{}, nil, fmt.Errorf("order: encode the items: %w", err)
	}
	made, err := affects(tx.ExecContext(ctx, `INSERT INTO orders (id, amount, customer_id, currency, items, parcels, shipped, status, revision)
		VALUES ($1, $2, $3, $4, $5, $6, 0, $7, 1) ON CONFLICT (id) DO NOTHING`,
		c.OrderID, c.Amount, c.CustomerID, c.Currency, string(items), len(c.Items), string(Open)))
	if err != nil {
		return Order{}, nil, fmt.Errorf("order: create %s: %w", c.OrderID, err)
	}
	if !made {
		return Order{}, nil, fmt.Errorf("order %s exists already: %w", c.OrderID, tidings.CodeConflict)
	}
	order, err := find(ctx, tx, c.OrderID)
	return order, tidings.Twins(
		OrderCreatedV2.New(CreatedV2(c)),
		OrderCreatedV1.New(CreatedV1{OrderID: c.OrderID, Amount: c.Amount}),
	), err
}

func (o *orders) ship(ctx context.Context, tx *store.SQLTx, s Ship) (Order, tidings.Events, error) {
	const update = `UPDATE orders SET shipped = shipped + 1, revision = revision + 1, status = CASE WHEN shipped + 1 < parcels THEN status ELSE $2 END
		WHERE id = $1 AND status = $3`
	order, err := change(ctx, tx, s.OrderID, update, string(Complete), string(Open))
	return order, tidings.Events{OrderShipped.New(Shipped{OrderID: s.OrderID, Parcel: order.Shipped, Revision: order.Revision})}, err
}

func (o *orders) cancel(ctx context.Context, tx *store.SQLTx, c Cancel) (Order, tidings.Events, error) {
	const update = `UPDATE orders SET status = $2, revision = revision + 1 WHERE id = $1 AND status = $3 AND shipped = 0`
	order, err := change(ctx, tx, c.OrderID, update, string(Abandoned), string(Open))
	return order, tidings.Events{OrderCancelled.New(Cancelled{OrderID: c.OrderID, Reason: c.Reason, Revision: order.Revision})}, err
}

// move publishes an event that belongs to no row, so there is no transaction to publish it in.
func (o *orders) move(ctx context.Context, m Move) (Stored, error) {
	if _, err := find(ctx, o.db, m.OrderID); err != nil {
		return Stored{}, err
	}
	moved := OrderMoved.New(Moved{OrderID: m.OrderID, Place: m.Place})
	if !m.Depot {
		return Stored{}, o.module.Live().Publish(ctx, moved)
	}
	receipts, err := o.module.Direct().Send(ctx, moved)
	if err != nil {
		return Stored{}, err
	}
	at := receipts[0]
	o.log.LogAttrs(ctx, slog.LevelInfo, "a parcel has come to a depot", slog.String("order", m.OrderID), slog.String("place", m.Place),
		slog.String("stream", at.Topic), slog.Int("partition", at.Partition), slog.Uint64("sequence", at.Sequence))
	return Stored{Stream: at.Topic, Partition: at.Partition, Sequence: at.Sequence}, nil
}

// change runs an update of one order and returns the order as it is then. An update that does not apply is a conflict. The row stays locked until the commit, so
// that the events of an order have the order of its revisions.
func change(ctx context.Context, tx *store.SQLTx, id, update string, args ...any) (Order, error) {
	changed, err := affects(tx.ExecContext(ctx, update, append([]any{id}, args...)...))
	if err != nil {
		return Order{}, fmt.Errorf("order: change %s: %w", id, err)
	}
	order, err := find(ctx, tx, id)
	if err == nil && !changed {
		err = fmt.Errorf("order %s is %s, and %d of its %d items are shipped: %w", id, order.Status, order.Shipped, len(order.Items), tidings.CodeConflict)
	}
	return order, err
}

// affects reports whether a statement has changed a row.
func affects(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// querier is a database, or a transaction on it.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func find(ctx context.Context, db querier, id string) (Order, error) {
	o := Order{OrderID: id}
	var items []byte
	err := db.QueryRowContext(ctx, `SELECT amount, customer_id, currency, items, shipped, status, revision FROM orders WHERE id = $1`, id).
		Scan(&o.Amount, &o.CustomerID, &o.Currency, &items, &o.Shipped, &o.Status, &o.Revision)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Order{}, fmt.Errorf("there is no order %q: %w", id, tidings.CodeNotFound)
	case err == nil:
		err = json.Unmarshal(items, &o.Items)
	}
	if err != nil {
		return Order{}, fmt.Errorf("order: find %s: %w", id, err)
	}
	return o, nil
}
