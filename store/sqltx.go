package store

import (
	"context"
	"database/sql"
)

// SQLTx is a transaction of database/sql that can also hold events. It is the native transaction of store/sqlite, and of
// store/postgres when it was opened over database/sql, so that one program can run on either database unchanged.
//
// It has the methods for statements and not those that end a transaction: who began it commits it.
type SQLTx struct {
	tx   *sql.Tx
	part Tx
}

// NewSQLTx is for stores: it joins a transaction and tidings' part of it.
func NewSQLTx(tx *sql.Tx, part Tx) *SQLTx { return &SQLTx{tx: tx, part: part} }

// StoreTx is tidings' part of the transaction.
func (t *SQLTx) StoreTx() Tx {
	if t == nil {
		return nil
	}
	return t.part
}

// ExecContext runs a statement, as (*sql.Tx).ExecContext does.
func (t *SQLTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(ctx, query, args...)
}

// QueryContext runs a query, as (*sql.Tx).QueryContext does.
func (t *SQLTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, query, args...)
}

// QueryRowContext runs a query for one row, as (*sql.Tx).QueryRowContext does.
func (t *SQLTx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(ctx, query, args...)
}

// PrepareContext prepares a statement, as (*sql.Tx).PrepareContext does.
func (t *SQLTx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return t.tx.PrepareContext(ctx, query)
}
