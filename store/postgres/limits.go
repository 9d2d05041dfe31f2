package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tidings-go/tidings/store"
)

// limitsAge is how long what was seen of the outbox counts.
const limitsAge = time.Second

// limits watches how full the outbox is, for those who set Config.MaxRows or Config.MaxAge.
type limits struct {
	rows int
	age  time.Duration

	mu      sync.Mutex
	looking bool
	next    time.Time // when to look again
	full    error
}

func newLimits(cfg Config) *limits { return &limits{rows: cfg.MaxRows, age: cfg.MaxAge} }

// check fails with store.ErrOutboxFull when the outbox has reached a limit. One transaction per second looks; the others believe it.
func (l *limits) check(ctx context.Context, s *Store, on session) error {
	if l.rows == 0 && l.age == 0 {
		return nil
	}
	before := time.Now()
	if known, full := l.known(before); known {
		return full
	}
	full, err := l.look(ctx, s, on)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looking = false
	if err != nil {
		return err
	}
	// A look that takes long, because the limit is high and nearly reached, is taken less often.
	l.full, l.next = full, time.Now().Add(max(limitsAge, 20*time.Since(before)))
	return full
}

// known returns what was seen last, unless it is time for the caller to look.
func (l *limits) known(now time.Time) (ok bool, full error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looking || now.Before(l.next) {
		return true, l.full
	}
	l.looking = true
	return false, nil
}

// look asks the database. The ids of the oldest and the newest row bound the number of rows, and cost nothing; only when that
// is not enough are rows counted, up to the limit.
func (l *limits) look(ctx context.Context, s *Store, on session) (full, err error) {
	const extent = `SELECT coalesce(max(id) - min(id) + 1, 0), coalesce(extract(epoch FROM clock_timestamp() -
		(SELECT created FROM {schema}.outbox ORDER BY id LIMIT 1)), 0)::float8 FROM {schema}.outbox`
	const count = `SELECT count(*) FROM (SELECT FROM {schema}.outbox LIMIT $1::bigint) n`
	var rows int64
	var seconds float64
	if _, err := on.row(ctx, []any{&rows, &seconds}, s.sql(extent)); err != nil {
		return nil, err
	}
	if age := time.Duration(seconds * float64(time.Second)); l.age > 0 && age >= l.age {
		return fmt.Errorf("its oldest row has waited for %v, Config.MaxAge is %v; is a relay running, and does the broker answer? %w",
			age.Round(time.Second), l.age, store.ErrOutboxFull), nil
	}
	if l.rows == 0 || rows < int64(l.rows) {
		return nil, nil
	}
	if _, err := on.row(ctx, []any{&rows}, s.sql(count), int64(l.rows)); err != nil {
		return nil, err
	}
	if rows < int64(l.rows) {
		return nil, nil
	}
	return fmt.Errorf("it has at least %d rows, Config.MaxRows; is a relay running, and does the broker answer? %w", l.rows, store.ErrOutboxFull), nil
}
