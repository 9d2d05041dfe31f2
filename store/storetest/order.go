package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

func orderScenarios() []scenario {
	return []scenario{
		on("order/per key it is that of the commits", orderIsThatOfCommits),
		on("order/it survives readers that come and go", orderSurvivesReaders),
	}
}

// event is what the oracle writes: the n-th change of a key, n being counted in the user's own tables.
type event struct {
	Key string
	N   int
}

const oracleKeys = 5

// write runs transactions of random keys from several goroutines and replicas, some of which fail, and returns once all have ended.
func (b *bench) write(transactions int) {
	var writers sync.WaitGroup
	for w := range 6 {
		on := b
		if w%3 == 2 {
			on = b.replica()
		}
		writers.Go(func() {
			for i := range transactions / 6 {
				if err := on.writeOne(i); err != nil && !errors.Is(err, errUser) {
					b.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	writers.Wait()
}

// writeOne changes one or two keys, and appends their events before and after: the store has to put them in order all the same.
func (b *bench) writeOne(i int) error {
	return b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
		first := rand.IntN(oracleKeys)
		for k := first; k <= min(first+rand.IntN(2), oracleKeys-1); k++ { // Ascending, so that two of them never wait for each other.
			key := fmt.Sprintf("key-%d", k)
			n, err := b.Next(ctx, tx, key)
			if err != nil {
				return err
			}
			value, err := json.Marshal(event{key, n})
			if err != nil {
				return err
			}
			if err := tx.StoreTx().Append(ctx, row(key, string(value))); err != nil {
				return err
			}
		}
		if i%7 == 3 {
			return errUser
		}
		return nil
	})
}

// firsts checks that the first occurrences of each key are 1, 2, 3 and so on.
type firsts struct {
	mu   sync.Mutex
	last map[string]int
	bad  []string
}

func (f *firsts) see(deliveries []broker.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range deliveries {
		var e event
		if err := json.Unmarshal(d.Value, &e); err != nil || e.Key != d.Key {
			f.bad = append(f.bad, fmt.Sprintf("row %d is damaged: %q", d.Sequence, d.Value))
			continue
		}
		if e.N > f.last[e.Key]+1 {
			f.bad = append(f.bad, fmt.Sprintf("%s: %d came after %d", e.Key, e.N, f.last[e.Key]))
		}
		f.last[e.Key] = max(f.last[e.Key], e.N)
	}
}

// complete reports whether everything that was committed has been seen.
func (f *firsts) complete(committed map[string]int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, n := range committed {
		if f.last[key] < n {
			return false
		}
	}
	return true
}

func (b *bench) committed() map[string]int {
	b.Helper()
	committed := map[string]int{}
	for k := range oracleKeys {
		key := fmt.Sprintf("key-%d", k)
		committed[key] = b.current(key)
	}
	return committed
}

func (b *bench) check(f *firsts) {
	b.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, bad := range f.bad {
		b.Errorf("order: %s", bad)
	}
	for key, n := range b.committed() {
		if f.last[key] != n {
			b.Errorf("%s: %d events were committed, %d were offered", key, n, f.last[key])
		}
	}
}

func orderIsThatOfCommits(b *bench) {
	seen := &firsts{last: map[string]int{}}
	b.write(300)
	seen.see(b.take("", len(b.values()), all))
	b.check(seen)
	b.wantValues()
}

// orderSurvivesReaders reads while others write, by two replicas whose readers stop at random and settle only part of what they had.
func orderSurvivesReaders(b *bench) {
	seen := &firsts{last: map[string]int{}}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()

	var readers sync.WaitGroup
	for _, replica := range []*bench{b, b.replica()} {
		readers.Go(func() {
			err := replica.s.Lanes(ctx, "", func(lane context.Context, p broker.Partition) { unsteadyReader(lane, p, seen) })
			if err != nil {
				b.Errorf("lanes: %v", err)
			}
		})
	}
	b.write(300)
	committed := b.committed()
	b.wait("all rows to be read", func() bool { return seen.complete(committed) && len(b.values()) == 0 })
	cancel()
	readers.Wait()
	b.check(seen)
}

func unsteadyReader(ctx context.Context, p broker.Partition, seen *firsts) {
	for range 1 + rand.IntN(20) {
		patient, cancel := context.WithTimeout(ctx, 30*time.Millisecond) // What it did not settle comes only after it has returned.
		deliveries, err := p.Fetch(patient, 1+rand.IntN(9), 1<<20)
		cancel()
		if err != nil {
			return
		}
		seen.see(deliveries)
		keep := rand.IntN(3)
		done := chosen(deliveries, func(broker.Delivery) bool { return keep == 0 || rand.IntN(2) == 0 })
		if p.Settle(ctx, broker.Settlement{Done: done}) != nil {
			return
		}
	}
}

// wait polls until a condition holds.
func (b *bench) wait(what string, holds func() bool) {
	b.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			b.Fatalf("waited in vain for %s", what)
		}
		select {
		case <-b.ctx.Done():
			b.Fatalf("waited in vain for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
