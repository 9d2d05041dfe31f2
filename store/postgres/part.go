package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// txPart is tidings' part of a transaction.
type txPart struct {
	s  *Store
	on session
	// direct makes Append write at once, since nobody will call commit.
	direct bool

	mu    sync.Mutex // For who kept the transaction beyond its end, on another goroutine: that must fail, not corrupt.
	ended bool
	rows  []store.Row
	// woken says that rows became ready, so that readers have something to do after the commit.
	woken bool
}

var _ store.Tx = (*txPart)(nil)

// Append implements [store.Tx].
func (p *txPart) Append(ctx context.Context, rows ...store.Row) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return fmt.Errorf("postgres: append: %w", store.ErrTxDone)
	}
	for i := range rows {
		if err := p.s.check(&rows[i]); err != nil {
			return fmt.Errorf("postgres: append: %w", err)
		}
	}
	if !p.direct {
		p.rows = append(p.rows, rows...)
		return nil
	}
	return explain("append", p.write(ctx, rows))
}

// check refuses what could never be written.
func (s *Store) check(r *store.Row) error {
	if r.State < store.Ready || r.State > store.Held {
		return fmt.Errorf("a row can't begin in the state %q", r.State)
	}
	if size := r.Record.Size() + len(r.History); size > s.cfg.MaxBytes && r.State == store.Ready {
		return fmt.Errorf("message %q for topic %q has %d bytes with its headers, Config.MaxBytes is %d: %w",
			r.MessageID, r.Record.Topic, size, s.cfg.MaxBytes, broker.ErrTooLarge)
	}
	return nil
}

// write writes rows now.
func (p *txPart) write(ctx context.Context, rows []store.Row) error {
	w := p.s.writes(rows)
	if w.toOutbox {
		if err := p.s.limits.check(ctx, p.s, p.on); err != nil {
			return err
		}
	}
	for _, one := range w.statements {
		if _, err := p.on.exec(ctx, one.query, one.args...); err != nil {
			return err
		}
	}
	return nil
}

// commit writes what was appended and commits, both on one trip to the server. After an error the transaction is over too.
func (p *txPart) commit(ctx context.Context, conn *pgx.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	err := ctx.Err()
	if status := conn.PgConn().TxStatus(); err == nil && status != 'T' {
		err = stateError(status)
	}
	if err == nil {
		err = p.sendAll(ctx, conn)
	}
	if err != nil {
		rollback(ctx, conn)
		return explain("commit", err)
	}
	if p.woken {
		p.s.hint.committed()
	}
	return nil
}

func (p *txPart) sendAll(ctx context.Context, conn *pgx.Conn) error {
	if len(p.rows) == 0 {
		_, err := conn.Exec(ctx, "commit")
		return err
	}
	w := p.s.writes(p.rows)
	if w.toOutbox {
		if err := p.s.limits.check(ctx, p.s, pgxSession{conn}); err != nil {
			return err
		}
	}
	p.woken = p.woken || w.ready
	batch := &pgx.Batch{}
	for _, one := range w.statements {
		batch.Queue(one.query, one.args...)
	}
	batch.Queue("commit")
	return conn.SendBatch(ctx, batch).Close()
}

// end makes everything that comes later fail.
func (p *txPart) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

func (p *txPart) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// appended is how many rows wait for the commit.
func (p *txPart) appended() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.rows)
}

// truncate drops the rows that were appended after the first n.
func (p *txPart) truncate(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rows = p.rows[:min(n, len(p.rows))]
}

// session is how a part reaches its transaction.
type session interface {
	// exec runs a statement and returns how many rows it concerned.
	exec(ctx context.Context, query string, args ...any) (int64, error)
	// row runs a query for one row, and reports whether there was one.
	row(ctx context.Context, dest []any, query string, args ...any) (bool, error)
}

// pgxSession is a transaction of pgx, or the connection that has one.
type pgxSession struct{ q querier }

// querier is what pool, connection and transaction of pgx have in common.
type querier interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

func (s pgxSession) exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := s.q.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}

func (s pgxSession) row(ctx context.Context, dest []any, query string, args ...any) (bool, error) {
	return found(s.q.QueryRow(ctx, query, args...).Scan(dest...))
}

// sqlSession is a transaction of database/sql over pgx.
type sqlSession struct{ tx *sql.Tx }

func (s sqlSession) exec(ctx context.Context, query string, args ...any) (int64, error) {
	done, err := s.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

func (s sqlSession) row(ctx context.Context, dest []any, query string, args ...any) (bool, error) {
	return found(s.tx.QueryRowContext(ctx, query, args...).Scan(dest...))
}

func found(err error) (bool, error) {
	if errors.Is(err, pgx.ErrNoRows) || errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
