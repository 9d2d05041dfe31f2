package reader

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// Schema makes the reader's tables. Steps are not unique on purpose: one that is taken twice is two rows, and the report counts them.
const Schema = `CREATE TABLE IF NOT EXISTS directory (
	id    TEXT   PRIMARY KEY,
	name  TEXT   NOT NULL,
	steps BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS steps (
	id       TEXT   NOT NULL,
	step     BIGINT NOT NULL, -- counts the steps as they were taken
	revision BIGINT NOT NULL, -- as the event says
	type     TEXT   NOT NULL,
	text     TEXT   NOT NULL
);
CREATE INDEX IF NOT EXISTS steps_id ON steps (id, step);
CREATE TABLE IF NOT EXISTS views (
	product_id TEXT   PRIMARY KEY,
	count      BIGINT NOT NULL
)`

// tables are the Directory in the database of the transaction.
type tables struct{}

func (tables) Note(ctx context.Context, tx *store.SQLTx, s Step) error {
	var step int64
	err := tx.QueryRowContext(ctx, `INSERT INTO directory (id, name, steps) VALUES ($1, $2, 1)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, steps = directory.steps + 1 RETURNING steps`, s.ID, s.Name).Scan(&step)
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO steps (id, step, revision, type, text) VALUES ($1, $2, $3, $4, $5)`, s.ID, step, s.Revision, s.Type, s.Text)
	}
	if err != nil {
		return fmt.Errorf("reader: %s of %s: %w", s.Type, s.ID, err)
	}
	return nil
}

func (tables) CountView(ctx context.Context, tx *store.SQLTx, product uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO views (product_id, count) VALUES ($1, 1) ON CONFLICT (product_id) DO UPDATE SET count = views.count + 1`, product)
	if err != nil {
		return fmt.Errorf("reader: count a view of %s: %w", product, err)
	}
	return nil
}

func find(ctx context.Context, db *sql.DB, id uuid.UUID) (Entry, error) {
	e := Entry{ID: id}
	err := db.QueryRowContext(ctx, `SELECT name, COALESCE((SELECT count FROM views WHERE product_id = id), 0) FROM directory WHERE id = $1`, id).Scan(&e.Name, &e.Views)
	if errors.Is(err, sql.ErrNoRows) {
		return e, fmt.Errorf("nothing is known of %s, or not yet: %w", id, tidings.CodeNotFound)
	}
	if err == nil {
		e.Steps, err = steps(ctx, db, id)
	}
	if err != nil {
		return e, fmt.Errorf("reader: find %s: %w", id, err)
	}
	return e, nil
}

func steps(ctx context.Context, db *sql.DB, id uuid.UUID) ([]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT type || ': ' || text FROM steps WHERE id = $1 ORDER BY step`, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	var list []string
	for rows.Next() {
		var step string
		if err = rows.Scan(&step); err != nil {
			return nil, err
		}
		list = append(list, step)
	}
	return list, rows.Err()
}
