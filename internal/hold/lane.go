package hold

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

const (
	// suffix makes the name of the queue, always empty, whose lane's owner handles held rows: one replica of all.
	suffix = "/held"
	// poll is how often it is looked for places that are free again, and rescan how often for held rows that nobody told us of. Both are done
	// more seldom where they take long: the time between is at least ten times as long.
	poll   = time.Second
	rescan = time.Minute
	// quick is how often it is looked for the time called lively after something was released: what has arrived meanwhile is held too, and a
	// busy key is to catch up.
	quick  = 50 * time.Millisecond
	lively = 5 * time.Second
)

// Lanes offers the held rows of places that have neither dead nor ready ones as one partition, in the order of their ids per place, to one
// replica of all. Settling a row deletes it, unless it was parked or held again meanwhile. It is a source for [consume.Consumer.RunHolding].
func (k *Keys) Lanes(ctx context.Context, each func(ctx context.Context, p broker.Partition)) error {
	return k.cfg.Store.Lanes(ctx, k.cfg.Group+suffix, func(ctx context.Context, owner broker.Partition) {
		k.released.begin(k)
		l := &lane{
			Keys: k, ended: make(chan struct{}), wake: make(chan struct{}, 1),
			known: map[place]struct{}{}, out: map[uint64]place{}, busy: map[place]int{},
		}
		watched, cancel := context.WithCancel(ctx)
		var watching sync.WaitGroup
		watching.Go(func() { l.watch(watched, owner) })
		each(ctx, l)
		cancel()
		watching.Wait()
	})
}

// lane is the held rows that are free. No place has a second batch out before all of its first is settled, so what is out of a place is always
// the oldest of it.
type lane struct {
	*Keys
	ended chan struct{} // closed with the end of the lane
	end   error         // why, from then on
	wake  chan struct{}

	// known are places that may have held rows. These four are for Fetch alone.
	known  map[place]struct{}
	last   int64     // the highest id of a held row that was read
	rescan time.Time // when all are read again
	lively time.Time // until then it is looked more often

	mu   sync.Mutex
	out  map[uint64]place // rows that are out
	busy map[place]int    // how many of each place
}

// watch waits for the end of the lane.
func (l *lane) watch(ctx context.Context, owner broker.Partition) {
	defer close(l.ended)
	for l.end == nil {
		_, l.end = owner.Fetch(ctx, 0, 0) // The queue is empty, whatever the limit.
	}
}

// Fetch implements [broker.Partition]. A store that fails is asked again.
func (l *lane) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	for {
		select {
		case <-l.ended:
			return nil, l.end
		default:
		}
		pause := time.Duration(math.MaxInt64)
		if limit > 0 {
			began := time.Now()
			deliveries, err := l.look(ctx, limit, maxBytes)
			if len(deliveries) > 0 {
				l.lively = began.Add(lively)
				return deliveries, nil
			}
			if err != nil && ctx.Err() == nil {
				l.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "held messages could not be read, trying again", slog.Any("error", err))
			}
			pause = max(l.poll(), 10*time.Since(began))
		}
		if err := l.wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

func (l *lane) poll() time.Duration {
	if time.Now().Before(l.lively) {
		return quick
	}
	return poll
}

// wait returns when it is time to look again.
func (l *lane) wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-l.wake:
	case <-l.ended:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// look hands out the oldest held rows of places that are free. The order of its steps matters. What was read as held came after what it waits
// for, so if nothing is dead or ready afterwards, that is resolved. And of a place that had nothing out before, nothing can have failed meanwhile.
func (l *lane) look(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	if err := l.scan(ctx); err != nil {
		return nil, err
	}
	busy := l.busyPlaces()
	blocked, err := l.blocked(ctx)
	if err != nil {
		return nil, err
	}
	var oldest []broker.Delivery
	for p := range l.known {
		if blocked[p] || busy[p] > 0 {
			continue
		}
		found, failed := l.heldOf(ctx, p, limit-len(oldest), maxBytes)
		if failed != nil {
			return nil, failed
		}
		if len(found) == 0 {
			delete(l.known, p)
		}
		for i := range found {
			maxBytes -= found[i].Size()
		}
		oldest = append(oldest, found...)
		if len(oldest) >= limit || maxBytes <= 0 {
			break
		}
	}
	if len(oldest) == 0 {
		return nil, nil
	}
	if blocked, err = l.blocked(ctx); err != nil {
		return nil, err
	}
	return l.handOut(slices.DeleteFunc(oldest, func(d broker.Delivery) bool { return blocked[placeOf(&d.Record)] })), nil
}

// handOut notes that rows are out.
func (l *lane) handOut(deliveries []broker.Delivery) []broker.Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range deliveries {
		p := placeOf(&deliveries[i].Record)
		l.out[deliveries[i].Sequence] = p
		l.busy[p]++
	}
	return deliveries
}

// scan learns the places of held rows that are new. Ids may become visible out of order, so all are read again now and then.
func (l *lane) scan(ctx context.Context) error {
	began := time.Now()
	again := began.After(l.rescan)
	if again {
		l.last = 0
	}
	f := store.Filter{Queues: []string{l.cfg.Group}, States: []store.State{store.Held}, After: l.last}
	for row, err := range l.cfg.Store.List(ctx, f) {
		if err != nil {
			return err
		}
		l.known[placeOf(&row.Record)] = struct{}{}
		l.last = row.ID
	}
	if again {
		l.rescan = time.Now().Add(max(rescan, 10*time.Since(began)))
	}
	return nil
}

// blocked are the places that have a dead or ready row. They are known from now on, since something may be held there.
func (l *lane) blocked(ctx context.Context) (map[place]bool, error) {
	blocked := map[place]bool{}
	f := store.Filter{Queues: []string{l.cfg.Group}, States: []store.State{store.Ready, store.Dead}}
	for row, err := range l.cfg.Store.List(ctx, f) {
		if err != nil {
			return nil, err
		}
		if p := placeOf(&row.Record); p.key != "" {
			blocked[p], l.known[p] = true, struct{}{}
		}
	}
	return blocked, nil
}

// heldOf reads the oldest held rows of a place.
func (l *lane) heldOf(ctx context.Context, p place, limit, maxBytes int) ([]broker.Delivery, error) {
	var found []broker.Delivery
	f := store.Filter{Queues: []string{l.cfg.Group}, States: []store.State{store.Held}, Key: p.key}
	for row, err := range l.cfg.Store.List(ctx, f) {
		if err != nil {
			return nil, err
		}
		if row.Record.Topic != p.topic {
			continue
		}
		found = append(found, broker.Delivery{Record: row.Record, Sequence: uint64(row.ID), Time: row.Created})
		if maxBytes -= row.Record.Size(); len(found) == limit || maxBytes <= 0 {
			break
		}
	}
	return found, nil
}

func (l *lane) busyPlaces() map[place]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.busy)
}

// Settle implements [broker.Partition].
func (l *lane) Settle(ctx context.Context, s broker.Settlement) error {
	var gone []int64
	l.released.mu.Lock()
	for _, id := range s.Done {
		if !l.released.kept[id] {
			gone = append(gone, int64(id))
		}
	}
	l.released.mu.Unlock()
	if len(gone) > 0 {
		err := l.cfg.Store.InTx(ctx, func(ctx context.Context, tx store.Native) error {
			_, failed := tx.StoreTx().Move(ctx, store.Gone, gone...)
			return failed
		})
		if err != nil {
			return fmt.Errorf("delete held messages that were handled: %w", err)
		}
	}
	for _, id := range s.Done {
		l.forget(id)
	}
	return nil
}

// forget notes that a row is not out any more. A place of which nothing is out may be looked at again.
func (l *lane) forget(id uint64) {
	l.released.mu.Lock()
	delete(l.released.kept, id)
	l.released.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.out[id]
	if !ok {
		return
	}
	delete(l.out, id)
	if l.busy[p]--; l.busy[p] > 0 {
		return
	}
	delete(l.busy, p)
	l.released.places.remove(p)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
