package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// How long Lanes waits before it opens new sessions, after the first failure and at most.
const (
	firstWait = 200 * time.Millisecond
	maxWait   = 5 * time.Second
)

// Lanes implements [store.Store]. The outbox has sixteen lanes, which all processes that want them share evenly; any other queue has one. A lane
// belongs to who has its lease, a row in the database; the lease of a process that dies ends after [Config].Lease.
//
// While there are lanes, a store keeps four sessions beside its pool: one that reads, one that deletes and renews leases, one that hears and one that sends notifications. They need
// sessions: when the URL leads through a pooler of transactions, and [Config].Direct does not lead past it, Lanes fails and says so.
// A server that can't be reached is tried again for ever.
func (s *Store) Lanes(ctx context.Context, queue string, each func(ctx context.Context, lane broker.Partition)) error {
	owner := newOwner()
	for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, maxWait) {
		began := time.Now()
		err := s.lanesOnce(ctx, func(k *link) *member { return newMember(k, newRegister(k, queue, owner), each) })
		switch err = explain("lanes", err); {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, errPooled), errors.Is(err, store.ErrNotMigrated), errors.Is(err, store.ErrNewer):
			return err
		default:
			if time.Since(began) > maxWait {
				wait = firstWait
			}
			s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "the lanes' sessions failed, trying again",
				slog.String("queue", queue), slog.Duration("wait", wait), slog.Any("error", err))
			_ = pause(ctx, wait/2+rand.N(wait)) // The end of ctx is seen in the loop.
		}
	}
	return nil
}

// lanesOnce offers lanes until ctx ends or the sessions fail.
func (s *Store) lanesOnce(ctx context.Context, newMember func(*link) *member) error {
	if _, err := s.version(ctx, s.pool); err != nil {
		return err
	}
	k, err := s.links.join(ctx, s)
	if err != nil {
		return fmt.Errorf("open sessions: %w", err)
	}
	defer s.links.leave(k)
	return newMember(k).run(ctx)
}
