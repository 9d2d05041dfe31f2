package sqlite

import (
	"container/list"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Until when a group lets further functions in. A commit costs about as much as a dozen small functions; what a longer group
// would gain is less than what its first members would wait.
const (
	groupSize = 64
	groupTime = 5 * time.Millisecond
)

// writer runs functions one after the other on the only connection that writes, and commits them in groups.
//
// Who calls do gets the turn, runs its function in a savepoint of the group's transaction, and hands the turn to the next in
// the queue. Who finds nobody waiting commits for the group, and all of its members return. So one disk flush serves everybody who came during the flush before,
// nobody ever waits for company, and each function runs on its caller's goroutine, where panics and Goexit belong.
type writer struct {
	db *sql.DB

	// group is the open group, or nil. Only who has the turn touches it.
	group *group

	mu    sync.Mutex
	taken bool      // somebody has the turn
	queue list.List // of chan struct{}: who waits for the turn; closing one gives it
}

// group is one transaction of SQLite with the functions that share it.
type group struct {
	sql    *sql.Conn
	conn   *conn
	began  time.Time
	size   int
	broken error

	// done is closed after the commit; err is its outcome.
	done chan struct{}
	err  error
}

// do runs fn in a transaction and returns after its commit. The transaction is rolled back if fn fails, panics or outlives ctx.
func (w *writer) do(ctx context.Context, fn func(tx *sql.Tx) error) error {
	if err := w.takeTurn(ctx); err != nil {
		return err
	}
	g, err := w.runTurn(ctx, fn)
	if err != nil {
		return err
	}
	<-g.done
	return g.err
}

// runTurn runs fn as a member of the open group and gives the turn away, whatever fn does.
func (w *writer) runTurn(ctx context.Context, fn func(tx *sql.Tx) error) (*group, error) {
	defer w.endTurn()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w.group == nil {
		g, err := beginGroup(ctx, w.db)
		if err != nil {
			return nil, fmt.Errorf("begin: %w", err)
		}
		w.group = g
	}
	return w.group, w.group.run(ctx, fn)
}

// takeTurn waits for the turn.
func (w *writer) takeTurn(ctx context.Context) error {
	w.mu.Lock()
	if !w.taken {
		w.taken = true
		w.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	place := w.queue.PushBack(turn)
	w.mu.Unlock()

	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-turn: // It came at the same moment, and has to be ended properly.
		return nil
	default:
		w.queue.Remove(place)
		return ctx.Err()
	}
}

// endTurn hands the turn and the open group to the next in the queue, or commits.
func (w *writer) endTurn() {
	g := w.group
	if g != nil && g.open() && w.handOver() {
		return
	}
	if g != nil {
		w.group = nil
		g.end()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken = w.wakeNext()
}

func (w *writer) handOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wakeNext()
}

// wakeNext gives the turn to the first in the queue and reports whether there was one.
func (w *writer) wakeNext() bool {
	first := w.queue.Front()
	if first == nil {
		return false
	}
	turn, ok := w.queue.Remove(first).(chan struct{})
	if ok {
		close(turn)
	}
	return ok
}

func beginGroup(ctx context.Context, db *sql.DB) (*group, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	g := &group{sql: c, began: time.Now(), done: make(chan struct{})}
	err = c.Raw(func(raw any) error {
		var ok bool
		if g.conn, ok = raw.(*conn); !ok {
			return fmt.Errorf("the connection is a %T", raw)
		}
		return g.conn.begin(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return g, nil
}

// run runs fn in a savepoint.
func (g *group) run(ctx context.Context, fn func(tx *sql.Tx) error) error {
	g.size++
	// The savepoint must not end by itself, on another goroutine, in the middle of fn: so its context is not ctx.
	tx, err := g.sql.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		g.broken = err
		return fmt.Errorf("begin: %w", err)
	}
	returned := false
	defer func() {
		if !returned { // fn panicked or ended its goroutine
			g.noteBroken(tx.Rollback())
		}
	}()
	err = fn(tx)
	if err == nil {
		err = ctx.Err()
	}
	returned = true
	if err != nil {
		g.noteBroken(tx.Rollback())
		return err
	}
	if err := tx.Commit(); err != nil {
		g.noteBroken(err)
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (g *group) noteBroken(err error) {
	if broken, ok := errors.AsType[errBroken](err); ok {
		g.broken = broken
	}
}

// open reports whether the group takes another function.
func (g *group) open() bool {
	return g.broken == nil && g.size < groupSize && time.Since(g.began) < groupTime
}

// end commits the group and tells its members.
func (g *group) end() {
	if g.broken != nil {
		// What is left of the transaction, if anything, must not be committed.
		_ = g.conn.run("ROLLBACK")
		g.err = fmt.Errorf("commit together with a transaction that failed: %w", g.broken)
	} else if err := g.conn.commit(); err != nil {
		g.err = fmt.Errorf("commit: %w", err)
	}
	_ = g.sql.Close() // Gives the connection back; it says nothing about the commit.
	close(g.done)
}
