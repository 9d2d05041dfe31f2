package sqlite

import (
	"context"
	"database/sql"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// watch tells lanes that something was committed. Commits of this process's InTx are told at once; those of other processes and of joined
// transactions are found by polling SQLite's counter of changes, which reads no table.
type watch struct {
	mu    sync.Mutex
	lanes map[chan struct{}]string // their queues
}

func newWatch() *watch { return &watch{lanes: map[chan struct{}]string{}} }

// add returns a channel that has a token when there may be something new in the queue.
func (w *watch) add(queue string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{}, 1)
	w.lanes[c] = queue
	return c
}

func (w *watch) remove(c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.lanes, c)
}

func (w *watch) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.lanes) == 0
}

// wake puts a token into every channel of these queues that has none.
func (w *watch) wake(queues ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, queue := range w.lanes {
		if !slices.Contains(queues, queue) {
			continue
		}
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// run polls until ctx ends. When it can't, lanes still look for themselves from time to time.
func (w *watch) run(ctx context.Context, db *sql.DB, cfg Config) {
	for {
		err := w.poll(ctx, db, cfg.Poll)
		if ctx.Err() != nil {
			return
		}
		cfg.Log.LogAttrs(ctx, slog.LevelWarn, "sqlite: commits of other processes are seen late", slog.Any("error", err))
		if pause(ctx, time.Second) != nil {
			return
		}
	}
}

// poll compares the counter with what it was. The counter is one connection's view, so the connection stays the same.
func (w *watch) poll(ctx context.Context, db *sql.DB, every time.Duration) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	counter, err := conn.PrepareContext(ctx, `PRAGMA data_version`)
	if err != nil {
		return err
	}
	defer func() { _ = counter.Close() }()
	var seen int64
	for {
		if err := pause(ctx, every); err != nil {
			return err
		}
		if w.idle() {
			continue
		}
		var now int64
		if err := counter.QueryRowContext(ctx).Scan(&now); err != nil {
			return err
		}
		if now != seen {
			seen = now
			w.wake("") // Other queues are seldom written and look for themselves.
		}
	}
}
