package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidings-go/tidings/store"
)

const (
	// rollbackTime is how long a rollback may take. If it takes longer the connection is closed, which rolls back too.
	rollbackTime = 5 * time.Second
	// firstPause is about how long a transaction waits before it is run again; later pauses are longer.
	firstPause = 5 * time.Millisecond
)

// within is the key under which the context of a function that runs in a transaction has that transaction's part.
type within struct{ s *Store }

// InTx implements [store.Store]. A transaction that PostgreSQL gives up because of others (a deadlock, or no serial order at the levels repeatable read and
// serializable) is run again, up to [Config].Retries times: so fn may be called more than once, and what it does outside of the
// database may happen more than once. Such an error has to come out of fn, wrapped or not.
//
// The level of isolation is that of the session: read committed, unless the URL has default_transaction_isolation. An error of the
// commit itself, when the connection breaks or ctx ends at that very moment, leaves open whether the transaction was committed.
func (s *Store) InTx(ctx context.Context, fn func(ctx context.Context, tx store.Native) error) error {
	if p, ok := ctx.Value(within{s}).(*txPart); ok && !p.hasEnded() {
		return errors.New("postgres: InTx was called inside of InTx and would be another transaction: use the one that is there")
	}
	run := s.runOnce
	if s.cfg.SQL {
		run = s.runOnceSQL
	}
	for again := 0; ; again++ {
		err := run(ctx, fn)
		if err == nil || again >= s.cfg.Retries || !isRetryable(err) {
			return err
		}
		if pause(ctx, rand.N(firstPause<<min(again, 6))) != nil {
			return err
		}
	}
}

// runOnce runs fn in one transaction of pgx.
func (s *Store) runOnce(ctx context.Context, fn func(ctx context.Context, tx store.Native) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return explain("begin", err)
	}
	defer conn.Release()
	begun, err := conn.Begin(ctx)
	if err != nil {
		return explain("begin", err)
	}
	p := &txPart{s: s, on: pgxSession{begun}}
	committed := false
	defer func() {
		p.end()
		if !committed { // fn failed, panicked or ended its goroutine
			rollback(ctx, conn.Conn())
		}
	}()
	if err := fn(context.WithValue(ctx, within{s}, p), &Tx{inner: begun, part: p}); err != nil {
		return err
	}
	if err := p.commit(ctx, conn.Conn()); err != nil {
		return err
	}
	committed = true
	return nil
}

// rollback ends the transaction of a connection, if there is still one. A connection that can't is closed by its pool.
func rollback(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() || conn.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	_, _ = conn.Exec(ctx, "rollback")
}

// pause waits for d, or fails when ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Tx is a transaction of pgx that can also hold events. It is a [pgx.Tx], so it can be given to everything that takes one: generated code,
// pgx.BeginFunc and so on. Who began it ends it: in [Store.InTx], Commit and Rollback are refused, and the result of the function decides.
type Tx struct {
	inner pgx.Tx
	part  *txPart
	// savepoint is nil for a transaction.
	savepoint *savepoint
}

// savepoint remembers what had been appended when it began.
type savepoint struct{ rows int }

var (
	_ pgx.Tx       = (*Tx)(nil)
	_ store.Native = (*Tx)(nil)
)

// StoreTx is tidings' part of the transaction. Savepoints of a transaction share it.
func (t *Tx) StoreTx() store.Tx {
	if t == nil {
		return nil
	}
	return t.part
}

// Begin begins a savepoint, a *Tx again. Its Rollback undoes what was done since, and drops the events that were published since, through
// whichever of the two. A savepoint that is made by a statement is not known here: its rollback keeps the events.
func (t *Tx) Begin(ctx context.Context) (pgx.Tx, error) {
	if t.part.hasEnded() {
		return nil, pgx.ErrTxClosed
	}
	inner, err := t.inner.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &Tx{inner: inner, part: t.part, savepoint: &savepoint{t.part.appended()}}, nil
}

// Commit releases a savepoint. A transaction refuses it: return nil from the function of InTx, or commit what you have joined.
func (t *Tx) Commit(ctx context.Context) error {
	if t.savepoint == nil {
		return errNotYours
	}
	if t.part.hasEnded() {
		return pgx.ErrTxClosed
	}
	return t.inner.Commit(ctx)
}

// Rollback undoes a savepoint. A transaction refuses it: return an error from the function of InTx, or roll back what you have joined.
func (t *Tx) Rollback(ctx context.Context) error {
	if t.savepoint == nil {
		return errNotYours
	}
	if t.part.hasEnded() {
		return pgx.ErrTxClosed
	}
	err := t.inner.Rollback(ctx)
	if !errors.Is(err, pgx.ErrTxClosed) { // Commit was before, and this is a deferred call.
		t.part.truncate(t.savepoint.rows)
	}
	return err
}

var errNotYours = errors.New("postgres: this transaction is ended by who began it: its function's result, or the tx that was joined")

// Exec runs a statement.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if t.part.hasEnded() {
		return pgconn.CommandTag{}, pgx.ErrTxClosed
	}
	return t.inner.Exec(ctx, query, args...)
}

// Query runs a query. Its rows must be closed before the next statement.
func (t *Tx) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if t.part.hasEnded() {
		return nil, pgx.ErrTxClosed
	}
	return t.inner.Query(ctx, query, args...)
}

// QueryRow runs a query for one row.
func (t *Tx) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if t.part.hasEnded() {
		return noRow{pgx.ErrTxClosed}
	}
	return t.inner.QueryRow(ctx, query, args...)
}

// SendBatch runs several statements on one trip to the server.
func (t *Tx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if t.part.hasEnded() {
		return pgx.FailedBatchResults(b, pgx.ErrTxClosed)
	}
	return t.inner.SendBatch(ctx, b)
}

// CopyFrom writes many rows by PostgreSQL's COPY.
func (t *Tx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if t.part.hasEnded() {
		return 0, pgx.ErrTxClosed
	}
	return t.inner.CopyFrom(ctx, table, columns, rows)
}

// Prepare prepares a statement on the transaction's connection.
func (t *Tx) Prepare(ctx context.Context, name, query string) (*pgconn.StatementDescription, error) {
	if t.part.hasEnded() {
		return nil, pgx.ErrTxClosed
	}
	return t.inner.Prepare(ctx, name, query)
}

// LargeObjects gives access to large objects, until the transaction ends.
func (t *Tx) LargeObjects() pgx.LargeObjects { return t.inner.LargeObjects() }

// Conn is the transaction's connection. After the end it belongs to somebody else.
func (t *Tx) Conn() *pgx.Conn { return t.inner.Conn() }

// noRow is the answer to a query that was not sent.
type noRow struct{ err error }

// Scan implements [pgx.Row].
func (r noRow) Scan(...any) error { return r.err }

// stateError says why a transaction in a state of the protocol (E failed, I none) can't be committed.
func stateError(status byte) error {
	if status == 'E' {
		return fmt.Errorf("one of its statements failed, and all of it with that: return that error, or use a savepoint around the statement: %w", pgx.ErrTxCommitRollback)
	}
	return errors.New("the transaction was ended by a statement of its own: leave COMMIT and ROLLBACK to InTx")
}
