package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-go/tidings/store"
)

// checkRoom fails with store.ErrOutboxFull when the outbox has reached a limit of the configuration, and rows has more for it.
func (c *Config) checkRoom(ctx context.Context, tx *sql.Tx, rows []store.Row) error {
	if (c.MaxRows == 0 && c.MaxAge == 0) || !publishes(rows) {
		return nil
	}
	const oldest = `SELECT id, created FROM tidings_rows WHERE queue = '' AND state = 0 AND due = 0 ORDER BY id LIMIT 1`
	var first, created int64
	err := tx.QueryRowContext(ctx, oldest).Scan(&first, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if age := time.Since(time.Unix(0, created)); c.MaxAge > 0 && age > c.MaxAge {
		return fmt.Errorf("%w: its oldest row is %v old, and Config.MaxAge is %v: does a relay reach the broker?", store.ErrOutboxFull, age.Round(time.Second), c.MaxAge)
	}
	return c.checkRows(ctx, tx, first)
}

// checkRows counts only when the ids say that there may be too many rows: they bound their number, and cost nothing.
func (c *Config) checkRows(ctx context.Context, tx *sql.Tx, first int64) error {
	if c.MaxRows == 0 {
		return nil
	}
	const newest = `SELECT id FROM tidings_rows WHERE queue = '' AND state = 0 AND due = 0 ORDER BY id DESC LIMIT 1`
	const count = `SELECT count(*) FROM (SELECT 1 FROM tidings_rows WHERE queue = '' AND state = 0 AND due = 0 LIMIT $1)`
	var last int64
	if err := tx.QueryRowContext(ctx, newest).Scan(&last); err != nil {
		return err
	}
	if last-first+1 < int64(c.MaxRows) {
		return nil
	}
	var n int
	if err := tx.QueryRowContext(ctx, count, c.MaxRows).Scan(&n); err != nil {
		return err
	}
	if n >= c.MaxRows {
		return fmt.Errorf("%w: it holds %d rows, and so many are allowed by Config.MaxRows: does a relay reach the broker?", store.ErrOutboxFull, n)
	}
	return nil
}

// publishes reports whether any of the rows is for the outbox's relay.
func publishes(rows []store.Row) bool {
	for i := range rows {
		if rows[i].Queue == "" && rows[i].State == store.Ready {
			return true
		}
	}
	return false
}
