package postgres

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// notifyGather is the least time between two notifications: each is a commit that takes a lock of the whole cluster for a moment.
	notifyGather = 3 * time.Millisecond
	// reconnect is about how long to wait before a session that failed is opened again, and maxReconnect at most.
	reconnect    = time.Second
	maxReconnect = 30 * time.Second
)

// What notifications say.
const (
	newsRows  = "rows"
	newsLanes = "lanes"
)

// hinter carries the news that rows became ready, or lanes free: to the lanes of this process at once, and to other processes by NOTIFY, which runs
// apart from every business transaction: a transaction with a NOTIFY holds a lock of the whole cluster until its commit is safe on disk
// and replicas. News may get lost; then readers find out by looking.
type hinter struct {
	s *Store
	// alone says that no other process has lanes of the outbox, so that nobody else needs to know.
	alone atomic.Bool
	pid   atomic.Uint32 // the server process that this one notifies through
	rows  chan struct{}
	lanes chan struct{}

	mu      sync.Mutex
	readers map[chan struct{}]struct{}
	members map[chan struct{}]struct{}

	running sync.WaitGroup
}

// startBackground begins what runs beside a store until ctx ends. stopBackground waits for it.
func (s *Store) startBackground(ctx context.Context) {
	s.hint = &hinter{
		s: s, rows: make(chan struct{}, 1), lanes: make(chan struct{}, 1),
		readers: map[chan struct{}]struct{}{}, members: map[chan struct{}]struct{}{},
	}
	s.written = make(chan struct{}, 1)
	s.hint.running.Go(func() { s.hint.run(ctx) })
	s.hint.running.Go(func() { s.followSlot(ctx) })
}

func (s *Store) stopBackground() { s.hint.running.Wait() }

// committed tells that rows became ready. It never waits.
func (h *hinter) committed() {
	h.tell(h.readers)
	if !h.alone.Load() {
		wake(h.rows)
	}
}

// moved tells that lanes became free, or that somebody wants some.
func (h *hinter) moved() {
	h.tell(h.members)
	wake(h.lanes)
}

func (h *hinter) tell(whom map[chan struct{}]struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range whom {
		wake(c)
	}
}

// watch returns a channel that has a token when there may be new rows.
func (h *hinter) watch() chan struct{} { return h.add(h.readers) }

// watchLanes is watch for lanes.
func (h *hinter) watchLanes() chan struct{} { return h.add(h.members) }

func (h *hinter) add(to map[chan struct{}]struct{}) chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan struct{}, 1)
	to[c] = struct{}{}
	return c
}

func (h *hinter) unwatch(c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, c)
	delete(h.members, c)
}

// run sends notifications until ctx ends, over a session that it opens when there is the first to send.
func (h *hinter) run(ctx context.Context) {
	for ctx.Err() == nil {
		news := h.next(ctx)
		if news == "" {
			return
		}
		err := h.send(ctx, news)
		if ctx.Err() != nil {
			return
		}
		h.s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "other processes could not be notified, they see new rows late", slog.Any("error", err))
		if pause(ctx, reconnect) != nil {
			return
		}
	}
}

// next waits for news. There is none when ctx ends.
func (h *hinter) next(ctx context.Context) string {
	select {
	case <-ctx.Done():
		return ""
	case <-h.rows:
		return newsRows
	case <-h.lanes:
		return newsLanes
	}
}

// send sends news until that fails.
func (h *hinter) send(ctx context.Context, news string) error {
	conn, err := h.s.connect(ctx)
	if err != nil {
		return err
	}
	defer closeQuietly(conn)
	h.pid.Store(conn.PgConn().PID())
	for news != "" {
		if err := h.sendOne(ctx, conn, news); err != nil {
			return err
		}
		if err := pause(ctx, notifyGather); err != nil {
			return err
		}
		news = h.next(ctx)
	}
	return ctx.Err()
}

func (h *hinter) sendOne(ctx context.Context, conn *pgx.Conn, news string) error {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	_, err := conn.Exec(ctx, `SELECT pg_notify($1, $2)`, h.channel(), news)
	return err
}

func (h *hinter) channel() string { return "tidings " + h.s.cfg.Schema }

// listen hears what other processes notify, until ctx ends. When it can't, readers still look for themselves.
func (k *link) listen(ctx context.Context) error {
	wait := reconnect
	for {
		began := time.Now()
		err := k.s.hint.hear(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was the end of ctx
		}
		if time.Since(began) > maxReconnect {
			wait = reconnect
		}
		k.s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "notifications of other processes are not heard, their rows are seen late",
			slog.Duration("wait", wait), slog.Any("error", err))
		_ = pause(ctx, wait/2+rand.N(wait)) // hear sees the end of ctx
		wait = min(2*wait, maxReconnect)
	}
}

func (h *hinter) hear(ctx context.Context) error {
	conn, err := h.s.connect(ctx)
	if err != nil {
		return err
	}
	defer closeQuietly(conn)
	if _, err := conn.Exec(ctx, `LISTEN `+quoted(h.channel())); err != nil {
		return err
	}
	h.tell(h.readers) // What was committed before nobody has heard.
	h.tell(h.members)
	for {
		news, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		switch {
		case news.PID == h.pid.Load(): // Its own.
		case news.Payload == newsRows:
			h.tell(h.readers)
		case news.Payload == newsLanes:
			h.tell(h.members)
		}
	}
}

// closeQuietly closes a session of which nobody expects anything any more.
func closeQuietly(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // It is gone, one way or the other.
}
