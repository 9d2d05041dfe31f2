package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// SweepEvery makes sweeps of lanes that begin from now on more frequent.
func (s *Store) SweepEvery(d time.Duration) { s.timing.sweep = d }

// ChoresEvery makes chores more frequent.
func (s *Store) ChoresEvery(d time.Duration) { s.timing.chores = d }

// ReadAtOnce makes readers that begin from now on read so many rows at once at most.
func (s *Store) ReadAtOnce(rows int) { s.timing.rows = rows }

// Rotate and Forget do chores now.
func (s *Store) Rotate(ctx context.Context) error { return s.rotate(ctx) }

// Forget is the other.
func (s *Store) Forget(ctx context.Context) error { return s.forget(ctx) }

// Slot is where new rows go, as this store believes.
func (s *Store) Slot() int16 { return s.slot() }

// BelieveSlot is for a store that has not heard of a rotation.
func (s *Store) BelieveSlot(slot int16) { s.current.Store(int32(slot)) }

// ReaderSessions are the server processes of the sessions that live: of the reading one, and of the writing one.
func (s *Store) ReaderSessions() (reading, writing uint32) {
	s.links.mu.Lock()
	defer s.links.mu.Unlock()
	k := s.links.current
	if k == nil || k.ctx.Err() != nil {
		return 0, 0
	}
	return k.conn.PgConn().PID(), k.control.conn.PgConn().PID()
}

// Statements are what readers and the settler send.
func (s *Store) Statements() map[string]string {
	all := map[string]string{"outbox settle": s.settleStatement(0), "letters settle": s.settleStatement(slots)}
	for name, f := range map[string]feed{"outbox": outboxFeed(s), "letters": lettersFeed(s)} {
		all[name+" tail"], all[name+" chunk"] = f.sql(tailStatement), f.sql(chunkStatement)
	}
	return all
}

// LanesUnfenced offers all lanes of the outbox without regard to leases: what a process does that doesn't know yet that it has lost them.
func (s *Store) LanesUnfenced(ctx context.Context, each func(ctx context.Context, lane broker.Partition)) error {
	k, err := newLink(ctx, s)
	if err != nil {
		return err
	}
	defer k.close()
	var calls sync.WaitGroup
	defer calls.Wait()
	m := newMember(k, newRegister(k, "", newOwner()), each)
	m.done = ctx.Done()
	for number := range lanes {
		owned, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		l := m.newLane(number, nil, cancel)
		l.fresh = func() error { return nil }
		k.outbox.add(l)
		calls.Go(func() {
			defer cancel(nil)
			each(owned, l)
		})
	}
	return nil
}
