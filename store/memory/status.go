package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/tidings-go/tidings/store"
)

var _ store.Admin = (*Store)(nil)

// Script implements [store.Admin]: there are no tables.
func (s *Store) Script() string { return "" }

// Status implements [store.Admin]. All lanes are this process's own, so none is listed.
func (s *Store) Status(ctx context.Context) (store.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queues := map[string]*store.QueueStatus{}
	for i := range s.rows {
		r := &s.rows[i]
		q := queues[r.Queue]
		if q == nil {
			q = &store.QueueStatus{Queue: r.Queue}
			queues[r.Queue] = q
		}
		count(q, r)
	}
	status := store.Status{LastID: s.lastID}
	for _, q := range slices.SortedFunc(maps.Values(queues), func(a, b *store.QueueStatus) int { return cmp.Compare(a.Queue, b.Queue) }) {
		status.Queues = append(status.Queues, *q)
	}
	return status, ctx.Err()
}

func count(q *store.QueueStatus, r *store.Row) {
	switch {
	case r.State == store.Dead:
		q.Dead++
	case r.State == store.Held:
		q.Held++
	case !r.Due.IsZero():
		q.Scheduled++
	default:
		q.Ready++
		if q.Oldest.IsZero() || r.Created.Before(q.Oldest) {
			q.Oldest = r.Created
		}
	}
}
