package tidings_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/store"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// switchboard makes the orders fail that are on it.
type switchboard struct {
	mu  sync.Mutex
	bad map[int]bool
}

func (s *switchboard) set(bad ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad = map[int]bool{}
	for _, n := range bad {
		s.bad[n] = true
	}
}

func (s *switchboard) fails(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad[n] {
		return errors.New("no")
	}
	return nil
}

func rowsOf(t *testing.T, s store.Store, group string, state store.State) (rows []store.Row) {
	t.Helper()
	for r, err := range s.List(t.Context(), store.Filter{Queues: []string{group}, States: []store.State{state}}) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}

// Each kind of reaction holds what is later of a key, and gets it in order when the dead letter is resolved.
func TestHoldKeyForEachKindOfReaction(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"On", "OnTx", "OnBatch", "OnBatchTx"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memorystore.New()
				app := newApp(t, func(c *tidings.Config) { c.Store = s })
				app.Emits(placed)
				var got inbox[order]
				var board switchboard
				take := func(o order) error {
					if err := board.fails(o.N); err != nil {
						return err
					}
					got.add(o)
					return nil
				}
				all := func(batch []*tidings.Delivery[order]) error {
					for _, d := range batch {
						if err := take(d.Payload); err != nil {
							return err
						}
					}
					return nil
				}
				app.Subscribe(tidings.Subscription{Name: "mailer", OnFailure: tidings.HoldKey, Retry: tidings.Retry{Attempts: 2, Max: time.Second}},
					map[string]tidings.Reaction{
						"On":   tidings.On(placed, func(_ context.Context, o order) error { return take(o) }),
						"OnTx": tidings.OnTx(placed, func(_ context.Context, _ *memorystore.Tx, o order) error { return take(o) }),
						"OnBatch": tidings.OnBatch(placed, tidings.Batch{Wait: time.Millisecond}, func(_ context.Context, batch []*tidings.Delivery[order]) error {
							return all(batch)
						}),
						"OnBatchTx": tidings.OnBatchTx(placed, tidings.Batch{Wait: time.Millisecond}, func(_ context.Context, _ *memorystore.Tx, batch []*tidings.Delivery[order]) error {
							return all(batch)
						}),
					}[kind])
				defer run(t, app)()
				board.set(2)
				publish := func(orders ...order) {
					for _, o := range orders {
						if err := placed.Publish(t.Context(), app.Direct(), o); err != nil {
							t.Fatal(err)
						}
					}
				}
				want := func(want ...order) {
					t.Helper()
					pass(10 * time.Second)
					if all := got.all(); !slices.Equal(all, want) {
						t.Errorf("handled %v, want %v", all, want)
					}
				}
				publish(order{"a", 1}, order{"a", 2}, order{"a", 3}, order{"a", 4})
				want(order{"a", 1})
				publish(order{"b", 5}, order{"a", 6})
				want(order{"a", 1}, order{"b", 5})
				if stats := app.Stats()[0]; stats.Held != 3 || stats.Dead != 1 {
					t.Errorf("%+v", stats)
				}
				board.set()
				if err := admin.Retry(t.Context(), s, rowsOf(t, s, "shop.mailer", store.Dead)); err != nil {
					t.Fatal(err)
				}
				want(order{"a", 1}, order{"b", 5}, order{"a", 2}, order{"a", 3}, order{"a", 4}, order{"a", 6})
				publish(order{"a", 7})
				want(order{"a", 1}, order{"b", 5}, order{"a", 2}, order{"a", 3}, order{"a", 4}, order{"a", 6}, order{"a", 7})
			})
		})
	}
}

// What can't be read is a dead letter that holds its key, if it has one, and nothing else. An edit mends it.
func TestHoldKeyWithMessagesThatCantBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		var b broker.Broker
		app := newApp(t, func(c *tidings.Config) { c.Store, b = s, c.Broker })
		app.Emits(placed)
		var got inbox[order]
		app.Subscribe(tidings.Subscription{Name: "mailer", OnFailure: tidings.HoldKey}, tidings.On(placed, got.take))
		defer run(t, app)()
		raw := func(key, typ, id string) {
			b.Publish(t.Context(), []broker.Record{{
				Topic: ordersTopic, Key: key, Value: []byte(`{"shop":"a","n":1}`), Headers: []broker.Header{
					{Name: "ce-specversion", Value: "1.0"},
					{Name: "ce-id", Value: id},
					{Name: "ce-source", Value: "/shop"},
					{Name: "ce-type", Value: typ},
					{Name: "content-type", Value: "application/json"},
				},
			}}, func(_ int, _ broker.Receipt, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		raw("a", "shop.OrderPlaced.v1", "") // an envelope without an id
		raw("b", "shop.OrderPlaced.v99", "2")
		raw("", "shop.OrderPlaced.v99", "3")
		for _, o := range []order{{"a", 4}, {"b", 5}, {"c", 6}} {
			if err := placed.Publish(t.Context(), app.Direct(), o); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		if all := got.all(); !slices.Equal(all, []order{{"c", 6}}) {
			t.Errorf("handled %v, want what is not held", all)
		}
		dead, held := rowsOf(t, s, "shop.mailer", store.Dead), rowsOf(t, s, "shop.mailer", store.Held)
		if len(dead) != 3 || len(held) != 2 {
			t.Fatalf("%d dead and %d held", len(dead), len(held))
		}
		for i := range dead {
			if dead[i].Record.Key != "a" {
				continue
			}
			if _, err := admin.Edit(t.Context(), s, &dead[i], admin.Change{Headers: []broker.Header{{Name: "ce-id", Value: "1"}}}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		if all := got.all(); !slices.Equal(all, []order{{"c", 6}, {"a", 1}, {"a", 4}}) {
			t.Errorf("handled %v, want the edited one before the later one", all)
		}
	})
}

func TestCheckOfFailurePolicies(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, order) error { return nil }
	app := newApp(t, func(c *tidings.Config) { c.Store = nil })
	app.Subscribe(tidings.Subscription{Name: "a", OnFailure: tidings.HoldKey}, tidings.On(placed, nothing))
	app.Subscribe(tidings.Subscription{Name: "b", Breaker: tidings.Breaker{Failures: 10}}, tidings.On(placed, nothing))
	app.Subscribe(tidings.Subscription{Name: "c", Breaker: tidings.Breaker{Failures: -1}}, tidings.On(placed, nothing))
	app.Subscribe(tidings.Subscription{Name: "d", Breaker: tidings.Breaker{Wait: time.Second}}, tidings.On(placed, nothing))
	app.Subscribe(tidings.Subscription{Name: "e", Breaker: tidings.Breaker{Failures: 10}, OnFailure: tidings.Block}, tidings.On(placed, nothing))
	err := app.Check(t.Context())
	if err == nil {
		t.Fatal("Check found nothing")
	}
	for _, want := range []string{
		`policy_test.go:`, `subscription "a": HoldKey needs a store`, `subscription "b": Breaker.Failures is 10 and Retry.Attempts 10`,
		`subscription "c": Breaker can't be negative`, `subscription "d": Breaker.Wait without Breaker.Failures`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), `"e"`) {
		t.Errorf("a subscription that uses up no attempts: %v", err)
	}

	app = newApp(t)
	app.Subscribe(tidings.Subscription{Name: "a", OnFailure: tidings.HoldKey, Unordered: true}, tidings.On(placed, nothing))
	if err := app.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "Unordered gives it up") {
		t.Errorf("HoldKey without order: %v", err)
	}
	for mode, name := range map[tidings.FailureMode]string{tidings.Park: "park", tidings.Block: "block", tidings.HoldKey: "hold-key"} {
		if mode.String() != name {
			t.Errorf("%d is called %q", mode, mode)
		}
	}
}

// Who gives up HoldKey while messages are held is told, since nobody would handle them.
func TestAnAppThatHoldsNoMoreDoesNotForget(t *testing.T) {
	t.Parallel()
	s := memorystore.New()
	err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
		return tx.StoreTx().Append(ctx, store.Row{Record: broker.Record{Topic: "t", Key: "a"}, Queue: "shop.mailer", State: store.Held})
	})
	if err != nil {
		t.Fatal(err)
	}
	app := newApp(t, func(c *tidings.Config) { c.Store = s })
	app.Emits(placed)
	app.Subscribe(tidings.Subscription{Name: "mailer"}, tidings.On(placed, func(context.Context, order) error { return nil }))
	if err := app.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "subscription shop.mailer") || !strings.Contains(err.Error(), "run it with HoldKey until") {
		t.Errorf("Run returned %v", err)
	}
}
