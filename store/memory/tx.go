package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tidings-go/tidings/store"
)

// Tx is a transaction: it holds events and nothing else.
type Tx struct{ part part }

var _ store.Native = (*Tx)(nil)

// StoreTx implements [store.Native].
func (t *Tx) StoreTx() store.Tx {
	if t == nil {
		return nil
	}
	return &t.part
}

// part keeps everything that the transaction does until its commit.
type part struct {
	s *Store

	mu     sync.Mutex // For who kept the transaction beyond its end, on another goroutine.
	ended  bool
	rows   []store.Row
	moves  []move
	notes  map[int64][]byte
	claims map[claim][]byte
}

type move struct {
	to  store.State
	ids []int64
}

var _ store.Tx = (*part)(nil)

// Append implements [store.Tx].
func (p *part) Append(ctx context.Context, rows ...store.Row) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usable(ctx); err != nil {
		return fmt.Errorf("memory: append: %w", err)
	}
	for i := range rows {
		if s := rows[i].State; s < store.Ready || s > store.Held {
			return fmt.Errorf("memory: append: a row can't begin in the state %q", s)
		}
	}
	p.rows = append(p.rows, rows...)
	return nil
}

// Move implements [store.Tx]. A row that becomes ready gets a new id, and so a place behind all rows that are there; a row that becomes
// dead takes the place of a dead row with its identity.
func (p *part) Move(ctx context.Context, to store.State, ids ...int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usable(ctx); err != nil {
		return 0, fmt.Errorf("memory: move to %s: %w", to, err)
	}
	if to < store.Ready || to > store.Gone {
		return 0, fmt.Errorf("memory: move: there is no state %d", int(to))
	}
	present := p.present(ids)
	p.moves = append(p.moves, move{to, present})
	return len(present), nil
}

// present returns those ids that have a row as this transaction sees it, ordered as they would be released: by due, then id.
func (p *part) present(ids []int64) []int64 {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	var rows []store.Row
	for _, id := range ids {
		if i, ok := p.s.index(id); ok && !p.removed(id) {
			rows = append(rows, p.s.rows[i])
		}
	}
	slices.SortFunc(rows, func(a, b store.Row) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID)) })
	rows = slices.CompactFunc(rows, func(a, b store.Row) bool { return a.ID == b.ID })
	present := make([]int64, len(rows))
	for i := range rows {
		present[i] = rows[i].ID
	}
	return present
}

func (p *part) removed(id int64) bool {
	return slices.ContainsFunc(p.moves, func(m move) bool { return m.to == store.Gone && slices.Contains(m.ids, id) })
}

// Note implements [store.Tx].
func (p *part) Note(ctx context.Context, id int64, history []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usable(ctx); err != nil {
		return fmt.Errorf("memory: note: %w", err)
	}
	if p.notes == nil {
		p.notes = map[int64][]byte{}
	}
	p.notes[id] = slices.Clone(history)
	return nil
}

// Claim implements [store.Tx].
func (p *part) Claim(ctx context.Context, space, id string) (bool, []byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usable(ctx); err != nil {
		return false, nil, fmt.Errorf("memory: claim: %w", err)
	}
	c := claim{space, id}
	saved, seen := p.lookUp(c)
	if seen {
		return false, saved, nil
	}
	p.claims[c] = nil
	return true, nil, nil
}

// Save implements [store.Tx].
func (p *part) Save(ctx context.Context, space, id string, value []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usable(ctx); err != nil {
		return fmt.Errorf("memory: save: %w", err)
	}
	c := claim{space, id}
	if _, seen := p.lookUp(c); !seen {
		return fmt.Errorf("memory: save: %q was not claimed in %q", id, space)
	}
	p.claims[c] = slices.Clone(value)
	return nil
}

func (p *part) lookUp(c claim) (saved []byte, seen bool) {
	if saved, seen = p.claims[c]; seen {
		return saved, true
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	saved, seen = p.s.seen[c]
	return saved, seen
}

func (p *part) usable(ctx context.Context) error {
	if p.ended {
		return store.ErrTxDone
	}
	return ctx.Err()
}

// commit makes all of it visible at once.
func (p *part) commit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range p.moves {
		for _, id := range m.ids {
			s.move(m.to, id)
		}
	}
	for id, history := range p.notes {
		if i, ok := s.index(id); ok {
			s.rows[i].History = history
		}
	}
	maps.Copy(s.seen, p.claims)
	for _, r := range p.rows {
		r.Created = time.Time{} // The store's to set.
		s.insert(r)
	}
	if len(p.rows)+len(p.moves) > 0 {
		s.wake()
	}
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
