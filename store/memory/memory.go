// Package memory keeps tidings' rows in memory: for tests, and for programs that have nothing to lose.
//
//	s := memory.New()
//	app := tidings.New(tidings.Config{Service: "shop", Store: s, Broker: b})
//
// It behaves like the stores over a database, except that it has no place for the user's own data: what a function of [Store.InTx] does elsewhere
// is not undone when it fails. All replicas of a test share one Store. It waits only by channels and timers, so that it works
// in the virtual time of testing/synctest.
package memory

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/tidings-go/tidings/store"
)

// Store implements [store.Store].
type Store struct {
	// turn has a token while a transaction runs. There is one at a time, as in SQLite.
	turn chan struct{}

	mu     sync.Mutex
	lastID int64
	rows   []store.Row // in the order of their ids
	seen   map[claim][]byte
	owners map[string]chan struct{}   // a token per queue while its lane is owned
	lanes  map[chan struct{}]struct{} // who is to be woken
}

// claim is what was claimed.
type claim struct{ space, id string }

var _ store.Store = (*Store)(nil)

// New makes an empty store.
func New() *Store {
	return &Store{
		turn:   make(chan struct{}, 1),
		seen:   map[claim][]byte{},
		owners: map[string]chan struct{}{},
		lanes:  map[chan struct{}]struct{}{},
	}
}

// within is the key under which the context of a function that runs in a transaction has that transaction.
type within struct{ s *Store }

// InTx implements [store.Store].
func (s *Store) InTx(ctx context.Context, fn func(ctx context.Context, tx store.Native) error) error {
	if t, ok := ctx.Value(within{s}).(*Tx); ok && !t.part.hasEnded() {
		return errors.New("memory: InTx was called inside of InTx and would wait for itself: use the transaction that is there")
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()

	tx := &Tx{part: part{s: s, claims: map[claim][]byte{}}}
	defer tx.part.end()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := fn(context.WithValue(ctx, within{s}, tx), tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	tx.part.commit()
	return nil
}

// List implements [store.Store].
func (s *Store) List(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		for _, r := range s.snapshot(f) {
			if err := ctx.Err(); err != nil {
				yield(store.Row{}, err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (s *Store) snapshot(f store.Filter) []store.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []store.Row
	for _, r := range s.rows[s.after(f.After):] {
		if f.Limit > 0 && len(found) == f.Limit {
			break
		}
		if matches(f, &r) {
			found = append(found, r)
		}
	}
	return found
}

func matches(f store.Filter, r *store.Row) bool {
	return (f.Queues == nil || slices.Contains(f.Queues, r.Queue)) &&
		(f.States == nil || slices.Contains(f.States, r.State)) &&
		(f.Key == "" || f.Key == r.Record.Key)
}

// Migrate implements [store.Store]. There is nothing to do.
func (s *Store) Migrate(ctx context.Context) error { return ctx.Err() }

// Native implements [store.Store]: a nil [*Tx].
func (s *Store) Native() store.Native { return (*Tx)(nil) }

// after is the index of the first row with a larger id. The caller holds the lock.
func (s *Store) after(id int64) int {
	return sort.Search(len(s.rows), func(i int) bool { return s.rows[i].ID > id })
}

// index is where the row with that id is, if it is. The caller holds the lock.
func (s *Store) index(id int64) (int, bool) {
	i := s.after(id - 1)
	return i, i < len(s.rows) && s.rows[i].ID == id
}

// insert gives a row its id and place. The caller holds the lock.
func (s *Store) insert(r store.Row) {
	if s.isKept(&r) {
		return
	}
	now := time.Now()
	if r.Created.IsZero() {
		r.Created = now
	}
	if !r.Due.After(now) {
		r.Due = time.Time{}
	}
	s.lastID++
	r.ID = s.lastID
	s.rows = append(s.rows, r)
}

// isKept reports whether r is dead or held and its queue has a dead row with r's identity, or a held one if r is held. The caller holds the lock.
func (s *Store) isKept(r *store.Row) bool {
	return r.State != store.Ready && r.MessageID != "" && slices.ContainsFunc(s.rows, func(o store.Row) bool {
		return sameDead(&o, r) || r.State == store.Held && o.State == store.Held && sameMessage(&o, r)
	})
}

func sameDead(dead, r *store.Row) bool {
	return dead.State == store.Dead && dead.ID != r.ID && sameMessage(dead, r)
}

func sameMessage(a, b *store.Row) bool {
	return a.Queue == b.Queue && a.Source == b.Source && a.MessageID == b.MessageID
}

// move changes the state of a row, if it is still there. The caller holds the lock.
func (s *Store) move(to store.State, id int64) {
	i, ok := s.index(id)
	if !ok {
		return
	}
	r := s.rows[i]
	switch to {
	case store.Gone:
		s.rows = slices.Delete(s.rows, i, i+1)
	case store.Dead:
		s.rows[i].State, s.rows[i].Due = store.Dead, time.Time{}
		if r.MessageID != "" {
			s.rows = slices.DeleteFunc(s.rows, func(o store.Row) bool { return sameDead(&o, &r) })
		}
	case store.Held:
		s.rows[i].State, s.rows[i].Due = store.Held, time.Time{}
	case store.Ready:
		if r.State != store.Ready || !r.Due.IsZero() {
			s.rows = slices.Delete(s.rows, i, i+1)
			r.State, r.Due = store.Ready, time.Time{}
			s.insert(r)
		}
	}
}
