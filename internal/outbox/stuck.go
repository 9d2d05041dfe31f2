package outbox

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// place is what rows are ordered by.
type place struct{ topic, key string }

func placeOf(r *broker.Record) place { return place{r.Topic, r.Key} }

// stuck is the places that have a dead row, or held ones that wait for their turn. It may say so too long, so what it says is looked up before a row is held.
type stuck struct {
	mu     sync.Mutex
	places map[place]struct{}
}

func (s *stuck) add(p place) {
	if p.key == "" {
		return // Rows without a key wait for nobody.
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.places == nil {
		s.places = map[place]struct{}{}
	}
	s.places[p] = struct{}{}
}

func (s *stuck) remove(p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.places, p)
}

func (s *stuck) has(p place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.places[p]
	return ok
}

func (s *stuck) isEmpty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.places) == 0
}

// learn reads which places are stuck. A lane does so before its first row; a row that a person has parked since is learnt of by the releaser.
func (r *relay) learn(ctx context.Context) error {
	f := store.Filter{Queues: []string{""}, States: []store.State{store.Dead, store.Held}}
	for row, err := range r.store.List(ctx, f) {
		if err != nil {
			return err
		}
		r.stuck.add(placeOf(&row.Record))
	}
	return nil
}

// hold moves the rows of stuck places to the held ones, and returns the others.
func (r *relay) hold(ctx context.Context, deliveries []broker.Delivery) ([]broker.Delivery, error) {
	if r.stuck.isEmpty() {
		return deliveries, nil
	}
	var ids []int64
	waits := map[place]bool{}
	free := make([]broker.Delivery, 0, len(deliveries))
	for i := range deliveries {
		d := &deliveries[i]
		p := placeOf(&d.Record)
		wait, known := waits[p]
		if !known && r.stuck.has(p) {
			var err error
			if wait, err = r.isStuck(ctx, p); err != nil {
				return nil, err
			}
			waits[p] = wait
		}
		if wait {
			ids = append(ids, int64(d.Sequence))
		} else {
			free = append(free, *d)
		}
	}
	if len(ids) == 0 {
		return free, nil
	}
	err := r.store.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		_, err := tx.StoreTx().Move(ctx, store.Held, ids...)
		return err
	})
	r.cfg.Stats.Held.Add(int64(len(ids)))
	return free, err
}

// isStuck looks up whether rows of p must wait.
func (r *relay) isStuck(ctx context.Context, p place) (bool, error) {
	f := store.Filter{Queues: []string{""}, States: []store.State{store.Dead, store.Held}, Key: p.key}
	for row, err := range r.store.List(ctx, f) {
		if err != nil || row.Record.Topic == p.topic {
			return true, err
		}
	}
	r.stuck.remove(p)
	return false, nil
}

// release publishes the held rows of places that have no dead row any more, in the order of their ids, until the lane is to be given back: one
// relay of all does so at a time. What it publishes is deleted before the next of its place is published, and a place is free for its
// lane only when it has no held row, so the order of the place is kept.
func (r *relay) release(ctx context.Context, stopping <-chan struct{}, p broker.Partition) {
	owned, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		defer cancel()
		_, _ = p.Fetch(owned, 0, 0) // The queue is empty: this waits for the end of the lane, whatever it is called.
	})
	for owned.Err() == nil {
		more, err := r.releaseRound(owned)
		if err != nil && owned.Err() == nil {
			r.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "held rows of the outbox could not be released, trying again", slog.Any("error", err))
		}
		if err != nil || !more {
			pause(owned, stopping, releasePoll)
		}
	}
}

// releaseRound publishes the first held row of each free place, and says whether there was any.
func (r *relay) releaseRound(ctx context.Context) (more bool, err error) {
	waits := map[place]bool{}
	for row, err := range r.store.List(ctx, store.Filter{Queues: []string{""}, States: []store.State{store.Dead}}) {
		if err != nil {
			return false, err
		}
		p := placeOf(&row.Record)
		waits[p] = true
		r.stuck.add(p)
	}
	var first []broker.Delivery
	for row, err := range r.store.List(ctx, store.Filter{Queues: []string{""}, States: []store.State{store.Held}}) {
		if err != nil {
			return false, err
		}
		p := placeOf(&row.Record)
		if !waits[p] {
			waits[p] = row.Record.Key != ""
			first = append(first, broker.Delivery{Record: row.Record, Sequence: uint64(row.ID)})
		}
		if len(first) == r.cfg.Batch {
			break
		}
	}
	if len(first) == 0 {
		return false, nil
	}
	result, err := r.deliver(ctx, first)
	if err != nil {
		return true, err
	}
	gone := make([]int64, len(result.acked))
	for i, id := range result.acked {
		gone[i] = int64(id)
	}
	err = r.store.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		_, moved := tx.StoreTx().Move(ctx, store.Gone, gone...)
		return moved
	})
	if err == nil {
		err = result.err
	}
	return true, err
}

// deliver publishes a batch, waits for its outcome and parks what the broker will never take.
func (r *relay) deliver(ctx context.Context, deliveries []broker.Delivery) (outcomes, error) {
	b := newBatch(deliveries)
	r.broker.Publish(ctx, b.records, b.outcome)
	select {
	case <-b.complete:
	case <-ctx.Done():
	}
	result := b.result()
	r.cfg.Stats.Published.Add(int64(len(result.acked)))
	r.cfg.Stats.Failed.Add(int64(result.failed))
	for _, p := range result.poison {
		i := slices.IndexFunc(deliveries, func(d broker.Delivery) bool { return int64(d.Sequence) == p.id })
		if err := r.park(ctx, p, &deliveries[i].Record); err != nil {
			return result, err
		}
	}
	return result, nil
}
