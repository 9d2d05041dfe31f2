package memory

import (
	"cmp"
	"context"
	"io"
	"slices"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// Lanes implements [store.Store]. A queue is one lane; who asks first has it first.
func (s *Store) Lanes(ctx context.Context, queue string, each func(ctx context.Context, lane broker.Partition)) error {
	owner := s.owner(queue)
	for ctx.Err() == nil {
		select {
		case owner <- struct{}{}:
			s.own(ctx, queue, each)
			<-owner
		case <-ctx.Done():
		}
	}
	return nil
}

// own offers the lane while it is owned.
func (s *Store) own(ctx context.Context, queue string, each func(ctx context.Context, lane broker.Partition)) {
	if ctx.Err() != nil {
		return
	}
	owned, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	l := &lane{s: s, queue: queue, stop: ctx.Done(), wake: make(chan struct{}, 1)}
	s.mu.Lock()
	s.lanes[l.wake] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.lanes, l.wake)
	}()
	each(owned, l)
}

func (s *Store) owner(queue string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owners[queue] == nil {
		s.owners[queue] = make(chan struct{}, 1)
	}
	return s.owners[queue]
}

// wake puts a token into every lane's channel that has none. The caller holds the lock.
func (s *Store) wake() {
	for c := range s.lanes {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// lane is a queue's ready rows in the order of their ids, from the oldest on that was present when the lane was taken.
type lane struct {
	s     *Store
	queue string
	last  int64
	stop  <-chan struct{}
	wake  chan struct{}
}

// Fetch implements [broker.Partition].
func (l *lane) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	for {
		select {
		case <-l.stop:
			return nil, io.EOF
		default:
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		deliveries, next := l.read(limit, maxBytes)
		if len(deliveries) > 0 {
			return deliveries, nil
		}
		l.wait(ctx, next)
	}
}

// wait returns when there may be something to do, at the latest at next, unless that is zero.
func (l *lane) wait(ctx context.Context, next time.Time) {
	var due <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(time.Until(next))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-l.stop:
	case <-l.wake:
	case <-due:
	}
}

// read returns the next rows, and when the next scheduled row will be due.
func (l *lane) read(limit, maxBytes int) ([]broker.Delivery, time.Time) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	next := l.s.release(l.queue)
	var deliveries []broker.Delivery
	size := 0
	for _, r := range l.s.rows[l.s.after(l.last):] {
		if len(deliveries) == limit || size >= maxBytes {
			break
		}
		if r.Queue != l.queue || r.State != store.Ready || !r.Due.IsZero() {
			continue
		}
		deliveries = append(deliveries, broker.Delivery{Record: r.Record, Sequence: uint64(r.ID), Time: r.Created})
		l.last = r.ID
		size += r.Record.Size()
	}
	return deliveries, next
}

// release gives scheduled rows whose time has come their place, and returns when the next will be due. The caller holds the lock.
func (s *Store) release(queue string) (next time.Time) {
	now := time.Now()
	var due []store.Row
	for _, r := range s.rows {
		switch {
		case r.Queue != queue || r.State != store.Ready || r.Due.IsZero():
		case !r.Due.After(now):
			due = append(due, r)
		case next.IsZero() || r.Due.Before(next):
			next = r.Due
		}
	}
	slices.SortFunc(due, func(a, b store.Row) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID)) })
	for _, r := range due {
		s.move(store.Ready, r.ID)
	}
	return next
}

// Settle implements [broker.Partition]: it deletes the rows that are done. What has been moved elsewhere meanwhile stays.
func (l *lane) Settle(_ context.Context, settled broker.Settlement) error {
	done := make(map[int64]bool, len(settled.Done))
	for _, sequence := range settled.Done {
		done[int64(sequence)] = true
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.rows = slices.DeleteFunc(l.s.rows, func(r store.Row) bool {
		return done[r.ID] && r.State == store.Ready && r.Queue == l.queue
	})
	return nil
}
