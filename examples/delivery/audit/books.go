package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// Schema makes the module's table.
const Schema = `CREATE TABLE IF NOT EXISTS audit_entries (
	message_id TEXT   PRIMARY KEY,
	order_id   TEXT   NOT NULL,
	amount     BIGINT NOT NULL,
	seen       BIGINT NOT NULL -- how often the event came: more than once after a crash
);
CREATE INDEX IF NOT EXISTS audit_entries_order ON audit_entries (order_id)`

// limit is what the table takes at most, in hundredths: orders over more than a million are entered by hand.
const limit = 1_000_000_00

// What can be asked of this module.
var (
	CloseLedger   = tidings.DefineRequest[Close, Close]("audit", "CloseLedger", "v1")
	LatestEntries = tidings.DefineRequest[Latest, []Entry]("audit", "LatestEntries", "v1")
)

// Close closes the ledger, or opens it again. Orders wait while it is closed.
type Close struct {
	Closed bool `json:"closed"`
}

// Latest asks for the last 20 entries.
type Latest struct{}

// errClosed goes by.
var errClosed = errors.New("audit: the ledger is closed")

// books is a ledger in a table.
type books struct {
	module *tidings.Module
	db     *sql.DB
	closed atomic.Bool
}

// enter is a [Ledger].
func (b *books) enter(ctx context.Context, e Entry) error {
	if b.closed.Load() {
		return errClosed
	}
	if e.Amount > limit {
		return fmt.Errorf("audit: order %s over %d is more than %d: %w", e.OrderID, e.Amount, limit, ErrRefused)
	}
	return tidings.InTx(ctx, b.module, func(ctx context.Context, tx *store.SQLTx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO audit_entries (message_id, order_id, amount, seen) VALUES ($1, $2, $3, 1)
			ON CONFLICT (message_id) DO UPDATE SET seen = audit_entries.seen + 1`, e.MessageID, e.OrderID, e.Amount)
		if err != nil {
			return fmt.Errorf("audit: enter %s: %w", e.OrderID, err)
		}
		return nil
	})
}

func (b *books) close(_ context.Context, c Close) (Close, error) {
	b.closed.Store(c.Closed)
	return c, nil
}

func (b *books) latest(ctx context.Context, _ Latest) ([]Entry, error) {
	rows, err := b.db.QueryContext(ctx, `SELECT message_id, order_id, amount FROM audit_entries ORDER BY message_id DESC LIMIT 20`)
	if err != nil {
		return nil, fmt.Errorf("audit: read the ledger: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	entries := []Entry{}
	for rows.Next() {
		var e Entry
		if err = rows.Scan(&e.MessageID, &e.OrderID, &e.Amount); err != nil {
			return nil, fmt.Errorf("audit: read the ledger: %w", err)
		}
		entries = append(entries, e)
	}
	if err = rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: read the ledger: %w", err)
	}
	return entries, nil
}
