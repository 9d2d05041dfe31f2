package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tidings-go/tidings/store"
)

// Tx is a transaction of SQLite that can also hold events: database/sql's methods for statements and, for tidings, StoreTx.
// Placeholders may be written ?, ?1 or $1; the last is what PostgreSQL takes too.
type Tx = store.SQLTx

// within is the key under which the context of a function that runs in a transaction has that transaction's part.
type within struct{ s *Store }

// InTx implements [store.Store]. Calls that come at the same time share a commit: none of their transactions sees another that did not
// end before it began, and if the commit fails all of them fail. fn must not end the transaction by a statement of its own.
func (s *Store) InTx(ctx context.Context, fn func(ctx context.Context, tx store.Native) error) error {
	if p, ok := ctx.Value(within{s}).(*part); ok && !p.hasEnded() {
		return errors.New("sqlite: InTx was called inside of InTx and would wait for itself: use the transaction that is there")
	}
	var p *part
	var failed error
	err := s.writer.do(ctx, func(tx *sql.Tx) error {
		p = &part{tx: tx, limits: &s.cfg}
		defer p.end()
		failed = fn(context.WithValue(ctx, within{s}, p), store.NewSQLTx(tx, p))
		if failed != nil {
			return failed
		}
		return p.flush(ctx)
	})
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return explain("transaction", err)
	case len(p.woken) > 0:
		s.watch.wake(p.woken...)
	}
	return nil
}

// Join lets a transaction that the caller began, and will commit, hold events. It is for programs that own their transactions;
// [Store.InTx] is faster, because it commits in groups, and safer, because it can't be used wrongly:
//
//	tx, err := s.DB().BeginTx(ctx, nil)
//	…                                                            // all the statements
//	err = Made.Publish(ctx, app.Outbox(sqlite.Join(tx)), event)  // publish last
//	err = tx.Commit()
//
// Events are written when they are published, not at the commit, which tidings doesn't see. The transaction must be on a database that holds tidings' tables,
// and begun so that it may write from its first statement on (DB does that). The rule "publish last" is for the day when the program runs on PostgreSQL, where ids
// follow the order of commits only if nothing is locked after publishing. Other processes' relays and this one's see the events within [Config.Poll].
// A nil tx gives a nil Tx, which everything in tidings refuses with [store.ErrTxDone].
func Join(tx *sql.Tx) *Tx {
	if tx == nil {
		return nil
	}
	return store.NewSQLTx(tx, &part{tx: tx, direct: true})
}

// part is tidings' part of a transaction.
type part struct {
	tx *sql.Tx
	// limits are how full the outbox may get. A joined transaction knows none: nobody told it which store it is of.
	limits *Config
	// direct makes Append write at once, since nobody will call flush.
	direct bool

	mu    sync.Mutex // For who kept the transaction beyond its end, on another goroutine: that must fail, not corrupt.
	ended bool
	rows  []store.Row
	// woken are the queues in which rows became ready, so that their readers have something to do after the commit.
	woken []string
}

var _ store.Tx = (*part)(nil)

// Append implements [store.Tx].
func (p *part) Append(ctx context.Context, rows ...store.Row) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return fmt.Errorf("sqlite: append: %w", store.ErrTxDone)
	}
	if p.direct {
		return explain("append", insertRows(ctx, p.tx, rows))
	}
	p.rows = append(p.rows, rows...)
	return nil
}

// Move implements [store.Tx]. A row that becomes ready gets a new id, and so a place behind all rows that are there; a row that becomes
// dead takes the place of a dead row with its identity.
func (p *part) Move(ctx context.Context, to store.State, ids ...int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return 0, fmt.Errorf("sqlite: move to %s: %w", to, store.ErrTxDone)
	}
	if to == store.Ready {
		queues, err := queuesOf(ctx, p.tx, ids)
		if err != nil {
			return 0, explain("move to ready", err)
		}
		p.woken = append(p.woken, queues...)
	}
	n, err := moveRows(ctx, p.tx, to, ids)
	return n, explain("move to "+to.String(), err)
}

// Note implements [store.Tx].
func (p *part) Note(ctx context.Context, id int64, history []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return fmt.Errorf("sqlite: note: %w", store.ErrTxDone)
	}
	_, err := p.tx.ExecContext(ctx, `UPDATE tidings_rows SET history = $2 WHERE id = $1`, id, notNil(history))
	return explain("note", err)
}

// Claim implements [store.Tx].
func (p *part) Claim(ctx context.Context, space, id string) (bool, []byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false, nil, fmt.Errorf("sqlite: claim: %w", store.ErrTxDone)
	}
	const claim = `INSERT INTO tidings_seen (space, id, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	done, err := p.tx.ExecContext(ctx, claim, space, id, time.Now().UnixNano())
	if err != nil {
		return false, nil, explain("claim", err)
	}
	n, err := done.RowsAffected()
	if err != nil || n > 0 {
		return n > 0, nil, explain("claim", err)
	}
	var saved []byte
	err = p.tx.QueryRowContext(ctx, `SELECT saved FROM tidings_seen WHERE space = $1 AND id = $2`, space, id).Scan(&saved)
	return false, saved, explain("claim", err)
}

// Save implements [store.Tx].
func (p *part) Save(ctx context.Context, space, id string, value []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return fmt.Errorf("sqlite: save: %w", store.ErrTxDone)
	}
	done, err := p.tx.ExecContext(ctx, `UPDATE tidings_seen SET saved = $3 WHERE space = $1 AND id = $2`, space, id, value)
	if err != nil {
		return explain("save", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(fmt.Errorf("sqlite: save: %q was not claimed in %q", id, space), err)
	}
	return nil
}

// flush writes what was appended.
func (p *part) flush(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.rows) == 0 {
		return nil
	}
	for i := range p.rows {
		if q := p.rows[i].Queue; p.rows[i].State == store.Ready && !slices.Contains(p.woken, q) {
			p.woken = append(p.woken, q)
		}
	}
	if err := p.limits.checkRoom(ctx, p.tx, p.rows); err != nil {
		return err
	}
	return insertRows(ctx, p.tx, p.rows)
}

// end makes everything that comes later fail.
func (p *part) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

func (p *part) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}
