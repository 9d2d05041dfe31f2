// Package storetest checks that a store does what package store promises. An adapter's test is one call:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t testing.TB) storetest.Fixture {
//			path := filepath.Join(t.TempDir(), "test.db")
//			return storetest.Fixture{
//				Open: func(t testing.TB) store.Store { … },
//				Next: func(ctx context.Context, tx store.Native, key string) (int, error) { … },
//			}
//		})
//	}
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// Fixture is one empty database.
type Fixture struct {
	// Open opens the database once more, as another replica would, and closes it when the test ends. It does not migrate.
	Open func(t testing.TB) store.Store
	// Next adds one to the counter key and returns it. It stands for the user's own tables: it runs in the transaction tx, is undone with it, and
	// makes other transactions that want the same counter wait until tx has ended.
	Next func(ctx context.Context, tx store.Native, key string) (int, error)
}

// patience is how long anything may take on a loaded machine before it counts as stuck.
const patience = 30 * time.Second

// scenario is one test.
type scenario struct {
	name string
	run  func(t testing.TB, f Fixture)
}

// Run checks a store. The function open makes a new, empty database; it is called once per scenario.
func Run(t *testing.T, open func(tb testing.TB) Fixture) {
	t.Helper()
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) { s.run(t, open(t)) })
	}
}

func scenarios() []scenario {
	return slices.Concat(transactionScenarios(), orderScenarios(), laneScenarios(), dueScenarios(), rowScenarios(), claimScenarios(), heldScenarios(), statusScenarios(), migrateScenarios())
}

// bench is what most scenarios need: a store over a migrated database.
type bench struct {
	testing.TB
	Fixture
	ctx context.Context
	s   store.Store
}

func newBench(tb testing.TB, f Fixture) *bench {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	b := &bench{TB: tb, Fixture: f, ctx: ctx, s: f.Open(tb)}
	b.must(b.s.Migrate(ctx))
	return b
}

// on adapts a scenario that needs a bench.
func on(name string, run func(b *bench)) scenario {
	return scenario{name, func(tb testing.TB, f Fixture) {
		tb.Helper()
		run(newBench(tb, f))
	}}
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("unexpected error: %v", err)
	}
}

// replica opens the same database again.
func (b *bench) replica() *bench {
	b.Helper()
	other := *b
	other.s = b.Open(b.TB)
	return &other
}

// tx runs fn with tidings' part of a transaction, which must commit.
func (b *bench) tx(fn func(tx store.Tx) error) {
	b.Helper()
	b.must(b.s.InTx(b.ctx, func(_ context.Context, tx store.Native) error { return fn(tx.StoreTx()) }))
}

func (b *bench) append(rows ...store.Row) {
	b.Helper()
	b.tx(func(tx store.Tx) error { return tx.Append(b.ctx, rows...) })
}

func (b *bench) move(to store.State, ids ...int64) (n int) {
	b.Helper()
	b.tx(func(tx store.Tx) (err error) {
		n, err = tx.Move(b.ctx, to, ids...)
		return err
	})
	return n
}

func (b *bench) list(f store.Filter) []store.Row {
	b.Helper()
	var rows []store.Row
	for r, err := range b.s.List(b.ctx, f) {
		b.must(err)
		rows = append(rows, r)
	}
	return rows
}

// values are the values of all rows, in the order of their ids.
func (b *bench) values() []string {
	b.Helper()
	return valuesOf(b.list(store.Filter{}))
}

func valuesOf(rows []store.Row) []string {
	values := []string{}
	for i := range rows {
		values = append(values, string(rows[i].Record.Value))
	}
	return values
}

func (b *bench) wantValues(want ...string) {
	b.Helper()
	if got := b.values(); !slices.Equal(got, want) {
		b.Fatalf("the store has the rows %q, want %q", got, want)
	}
}

// row is a ready row of the outbox; rows are some of the key "k".
func row(key, value string) store.Row {
	return store.Row{Record: broker.Record{Topic: "orders", Key: key, Value: []byte(value)}}
}

func rows(values ...string) []store.Row {
	all := make([]store.Row, len(values))
	for i, v := range values {
		all[i] = row("k", v)
	}
	return all
}

// take reads a queue until it has seen want rows, settles those for which settle says so, and gives the lanes back.
func (b *bench) take(queue string, want int, settle func(broker.Delivery) bool) []broker.Delivery {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	var mu sync.Mutex
	var taken []broker.Delivery
	var failed error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = errors.Join(failed, err)
		cancel()
	}
	err := b.s.Lanes(ctx, queue, func(lane context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(lane, 7, 1<<20)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				fail(fmt.Errorf("fetch: %w", err))
				return
			}
			if err := p.Settle(lane, broker.Settlement{Done: chosen(deliveries, settle)}); err != nil {
				fail(fmt.Errorf("settle: %w", err))
				return
			}
			mu.Lock()
			taken = append(taken, deliveries...)
			if len(taken) >= want {
				cancel()
			}
			mu.Unlock()
		}
	})
	b.must(err)
	b.must(failed)
	if len(taken) < want {
		b.Fatalf("queue %q offered %d rows, want %d", queue, len(taken), want)
	}
	return taken
}

func chosen(deliveries []broker.Delivery, settle func(broker.Delivery) bool) (done []uint64) {
	for _, d := range deliveries {
		if settle(d) {
			done = append(done, d.Sequence)
		}
	}
	return done
}

func all(broker.Delivery) bool  { return true }
func none(broker.Delivery) bool { return false }

func valuesTaken(deliveries []broker.Delivery) []string {
	values := []string{}
	for _, d := range deliveries {
		values = append(values, string(d.Value))
	}
	return values
}

func (b *bench) wantTaken(deliveries []broker.Delivery, want ...string) {
	b.Helper()
	if got := valuesTaken(deliveries); !slices.Equal(got, want) {
		b.Fatalf("the queue offered %q, want %q", got, want)
	}
}
