package sqlite

import "github.com/tidings-go/tidings/store"

// Waiting is how many transactions wait for their turn.
func (s *Store) Waiting() int {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	return s.writer.queue.Len()
}

// ListQuery is the query for one page of List.
func ListQuery(f store.Filter) (query string, args []any) { return listQuery(f) }
