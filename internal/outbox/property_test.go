package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/outbox"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/memory"
)

// world is one run: its numbers say how bad things get, its seed decides the rest.
type world struct {
	seed                      uint64
	transactions, keys, batch int
	lost, down, poison        int // of a hundred
	restarts, relays          int
}

func (w *world) draw(t *rapid.T) {
	w.seed = rapid.Uint64().Draw(t, "seed")
	w.transactions = rapid.IntRange(1, 80).Draw(t, "transactions")
	w.keys = rapid.IntRange(1, 4).Draw(t, "keys")
	w.batch = rapid.IntRange(1, 20).Draw(t, "batch")
	w.lost = rapid.IntRange(0, 30).Draw(t, "lost")
	w.down = rapid.IntRange(0, 30).Draw(t, "down")
	w.poison = rapid.IntRange(0, 20).Draw(t, "poison")
	w.restarts = rapid.IntRange(0, 5).Draw(t, "restarts")
	w.relays = rapid.IntRange(1, 3).Draw(t, "relays")
}

// run is what a world's test checks at the end.
type run struct {
	committed map[string]int    // events per key
	poison    map[string]bool   // by value
	log       []broker.Record   // what the broker has
	dead      map[string]string // history by value
	early     []string          // deleted before they were acknowledged
	left      int
}

func TestNothingIsLostAndOrderIsKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var w world
		w.draw(rt)
		var r run
		synctest.Test(t, func(t *testing.T) { r = w.live(t, newFake(w.seed)) })
		if complaints := r.complaints(); len(complaints) > 0 {
			rt.Fatalf("%+v:\n%s", w, strings.Join(complaints, "\n"))
		}
	})
}

func (w *world) live(t *testing.T, b *fakeBroker) run {
	t.Helper()
	random := rand.New(rand.NewPCG(w.seed, 2))
	r := run{committed: map[string]int{}, poison: map[string]bool{}, dead: map[string]string{}}
	var mu sync.Mutex
	s := &spyStore{Store: memory.New(), settled: func(value string) {
		mu.Lock()
		defer mu.Unlock()
		if !b.wasAcked(value) {
			r.early = append(r.early, value)
		}
	}}
	b.fate = func() fate { return w.fate(b.random) }
	b.delay = func() time.Duration { return time.Duration(1+b.random.IntN(30)) * time.Millisecond }

	relays := make([]func(), w.relays)
	cfg := outbox.Config{Batch: w.batch, Gather: time.Duration(1+random.IntN(20)) * time.Millisecond}
	for i := range relays {
		relays[i] = start(t, s, b, cfg)
	}
	restart := max(1, w.transactions/(w.restarts+1))
	for i := range w.transactions {
		w.commit(t, s, &r, random)
		time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond) //nolint:forbidigo // virtual time
		if random.IntN(5) == 0 {
			r.discard(t, s)
		}
		if (i+1)%restart == 0 {
			which := random.IntN(len(relays))
			relays[which]()
			relays[which] = start(t, s, b, cfg)
		}
	}
	b.mu.Lock()
	b.heal()
	b.mu.Unlock()
	for range w.transactions * 4 { // A key may have this many that are poison, one behind the other.
		time.Sleep(10 * time.Second) //nolint:forbidigo // virtual time
		r.discard(t, s)
	}
	for _, stop := range relays {
		stop()
	}
	r.log = b.records()
	r.left = count(s, store.Ready, store.Held)
	return r
}

func (w *world) fate(random *rand.Rand) fate {
	switch n := random.IntN(100); {
	case n < w.lost:
		return lostAnswer
	case n < w.lost+w.down:
		return down
	}
	return stored
}

// commit appends some events, each the next of its key.
func (w *world) commit(t *testing.T, s store.Store, r *run, random *rand.Rand) {
	t.Helper()
	var rows []store.Row
	for range 1 + random.IntN(4) {
		key := fmt.Sprint("key", random.IntN(w.keys))
		r.committed[key]++
		value := fmt.Sprintf("%s/%d", key, r.committed[key])
		row := row(key, value)
		if random.IntN(100) < w.poison {
			row = poisoned(row)
			r.poison[value] = true
		}
		rows = append(rows, row)
	}
	add(t, s, rows...)
}

func poisoned(r store.Row) store.Row {
	r.Record.Value = append(r.Record.Value, poisonMark...)
	return r
}

// discard is a person who looks at the dead rows, notes them and deletes them: those that are held behind them may go on.
func (r *run) discard(t *testing.T, s store.Store) {
	t.Helper()
	err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
		for row, err := range s.List(ctx, store.Filter{States: []store.State{store.Dead}}) {
			if err != nil {
				return err
			}
			r.dead[strings.TrimSuffix(string(row.Record.Value), poisonMark)] = string(row.History)
			if _, err := tx.StoreTx().Move(ctx, store.Gone, row.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// complaints says what is wrong with a run.
func (r *run) complaints() (complaints []string) {
	complain := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	last := map[string]int{}
	for _, record := range r.log {
		value := string(record.Value)
		if seen[value] {
			continue
		}
		seen[value] = true
		_, number, _ := strings.Cut(value, "/")
		n, err := strconv.Atoi(number)
		if err != nil || n <= last[record.Key] {
			complain("%s came for the first time after %d", value, last[record.Key])
		}
		last[record.Key] = n
	}
	for key, n := range r.committed {
		for i := 1; i <= n; i++ {
			value := fmt.Sprintf("%s/%d", key, i)
			if _, dead := r.dead[value]; dead != r.poison[value] || seen[value] == dead {
				complain("%s: published %v, parked %v, poison %v", value, seen[value], dead, r.poison[value])
			}
		}
	}
	if len(r.early) > 0 {
		complain("deleted before they were acknowledged: %q", r.early)
	}
	if r.left > 0 {
		complain("%d rows are left", r.left)
	}
	return complaints
}

// TestTheCheckBites: brokers that break the port's promise, and a store that deletes too much, must be found out.
func TestTheCheckBites(t *testing.T) {
	worlds := func(spoil func(b *fakeBroker, w *world)) (bad int) {
		for seed := range uint64(20) {
			w := world{seed: seed, transactions: 40, keys: 2, batch: 10, lost: 5, down: 10, relays: 1}
			synctest.Test(t, func(t *testing.T) {
				b := newFake(seed)
				spoil(b, &w)
				if r := w.live(t, b); len(r.complaints()) > 0 {
					bad++
				}
			})
		}
		return bad
	}
	if bad := worlds(func(*fakeBroker, *world) {}); bad != 0 {
		t.Fatalf("%d of 20 good worlds were found bad", bad)
	}
	if bad := worlds(func(b *fakeBroker, _ *world) { b.forgets = true }); bad < 15 {
		t.Errorf("a broker that forgets what it acknowledged was found out in %d of 20 worlds", bad)
	}
	if bad := worlds(func(b *fakeBroker, _ *world) { b.overtakes = true }); bad < 15 {
		t.Errorf("a broker that stores records behind failed ones of their key was found out in %d of 20 worlds", bad)
	}
}
