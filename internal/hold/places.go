package hold

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// maxPlaces bounds how many places are remembered, and how many rows are read to find them: about 20 MB. With more the store is asked for each message.
const maxPlaces = 100_000

// place is what messages are held by.
type place struct{ topic, key string }

func placeOf(r *broker.Record) place { return place{r.Topic, r.Key} }

// places are those that may have rows. They may name too many and never too few.
type places struct {
	some atomic.Bool // there is any

	mu    sync.RWMutex
	known map[place]struct{}
	fresh map[place]struct{} // what becomes of known when reading ends; nil: nobody reads
	all   bool               // there were too many: any place may have rows
}

func (s *places) has(p place) bool {
	if !s.some.Load() {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.known[p]
	return ok || s.all
}

func (s *places) add(p place) {
	if p.key == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[place]struct{}{}
	}
	s.known[p] = struct{}{}
	if s.fresh != nil {
		s.fresh[p] = struct{}{}
	}
	if len(s.known) > maxPlaces {
		s.known, s.all = nil, true
	}
	s.some.Store(true)
}

func (s *places) remove(p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, p)
	s.some.Store(s.all || len(s.known) > 0)
}

func (s *places) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = nil
	s.some.Store(s.all)
}

// read learns all places that have rows. What is added meanwhile stays.
func (s *places) read(ctx context.Context, cfg Config) error {
	s.mu.Lock()
	s.fresh = map[place]struct{}{}
	s.mu.Unlock()
	rows := 0
	var failed error
	for row, err := range cfg.Store.List(ctx, store.Filter{Queues: []string{cfg.Group}, Limit: maxPlaces}) {
		if err != nil {
			failed = fmt.Errorf("read the held messages: %w", err)
			break
		}
		rows++
		if row.Record.Key != "" {
			s.mu.Lock()
			s.fresh[placeOf(&row.Record)] = struct{}{}
			s.mu.Unlock()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed == nil {
		s.all = rows == maxPlaces
		s.known = s.fresh
		s.some.Store(s.all || len(s.known) > 0)
	}
	s.fresh = nil
	return failed
}

// learner lets those who want to know something at the same time learn it together: from a look that began after they asked.
type learner struct {
	turn  chan struct{} // has a token while somebody looks
	begun atomic.Int64  // looks
	good  int64         // the last that began and succeeded; whoever has the turn may use it
}

func (l *learner) learn(ctx context.Context, look func() error) error {
	asked := l.begun.Load()
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.turn }()
	if l.good > asked {
		return nil
	}
	n := l.begun.Add(1)
	err := look()
	if err == nil {
		l.good = n
	}
	return err
}
