package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/store"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

var place = tidings.DefineRequest[order, int]("shop", "PlaceOrder", "v1")

// till is an app with the command place, which returns how often it was handled, and what its subscription gets.
type till struct {
	app     *tidings.App
	mu      sync.Mutex
	handled int
	got     inbox[order]
}

func newTill(t *testing.T, endpoint func(*till) tidings.Endpoint, change ...func(*tidings.Config)) *till {
	t.Helper()
	s := &till{app: newApp(t, change...)}
	s.app.Emits(placed, shipped)
	s.app.Serve(endpoint(s))
	s.app.Subscribe(tidings.Subscription{Name: "all"}, tidings.On(placed, s.got.take), tidings.On(shipped, s.got.take))
	return s
}

// handle returns two events of which one is empty, unless the order says that it fails.
func (s *till) handle(o order) (int, tidings.Events, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handled++
	events := tidings.Events{placed.New(o), {}}
	switch o.N {
	case -1:
		return 0, events, fmt.Errorf("sold out: %w", tidings.CodeConflict)
	case -2:
		panic("boom")
	case -3:
		events = append(events, placed.New(order{}))
	}
	return s.handled, events, nil
}

func inTransaction(s *till) tidings.Endpoint {
	return tidings.HandleTx(place, func(_ context.Context, _ *memorystore.Tx, o order) (int, tidings.Events, error) { return s.handle(o) })
}

func withoutTransaction(s *till) tidings.Endpoint {
	return tidings.Handle(place, func(_ context.Context, o order) (int, tidings.Events, error) { return s.handle(o) })
}

func TestEventsOfACommandArePublishedWhenItSucceeds(t *testing.T) {
	t.Parallel()
	for name, endpoint := range map[string]func(*till) tidings.Endpoint{"Handle": withoutTransaction, "HandleTx": inTransaction} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newTill(t, endpoint)
				defer run(t, s.app)()
				if n, err := place.Call(t.Context(), s.app, order{"a", 1}); n != 1 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
				for n, want := range map[int]tidings.Code{-1: tidings.CodeConflict, -2: tidings.CodeInternal, -3: tidings.CodeInternal} {
					if answer, err := place.Call(t.Context(), s.app, order{"a", n}); answer != 0 || tidings.CodeOf(err) != want {
						t.Errorf("order %d: %d, %v", n, answer, err)
					}
				}
				pass(time.Minute)
				if all := s.got.all(); len(all) != 1 || all[0].N != 1 {
					t.Errorf("published %v", all)
				}
			})
		})
	}
}

func TestOnceHandlesACommandOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTill(t, inTransaction, func(c *tidings.Config) { c.Remote = true })
		defer run(t, s.app)()
		call := func(o order, key string) (int, error) { return place.Call(t.Context(), s.app, o, tidings.Once(key)) }
		for range 3 {
			if n, err := call(order{"a", 1}, "key-1"); n != 1 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}
		if _, err := call(order{"a", 2}, "key-1"); !errors.Is(err, tidings.CodeConflict) {
			t.Errorf("another command with the same key: %v", err)
		}
		if n, err := call(order{"a", 1}, "key-2"); n != 2 || err != nil {
			t.Errorf("another key: %d, %v", n, err)
		}
		if n, err := place.Call(t.Context(), s.app, order{"a", 1}); n != 3 || err != nil {
			t.Errorf("no key: %d, %v", n, err)
		}
		for range 2 { // a failure is not kept
			if _, err := call(order{"a", -1}, "key-3"); !errors.Is(err, tidings.CodeConflict) {
				t.Error(err)
			}
		}
		if n, err := call(order{"a", 3}, "key-3"); n != 6 || err != nil {
			t.Errorf("after a failure: %d, %v", n, err)
		}
		for _, key := range []string{"a b", "žluť", strings.Repeat("k", 201)} {
			if _, err := call(order{"a", 1}, key); !errors.Is(err, tidings.CodeInvalid) {
				t.Errorf("key %.10q: %v", key, err)
			}
		}
		pass(time.Minute)
		if all := s.got.all(); len(all) != 4 {
			t.Errorf("published %v, want 4 events", all)
		}
	})
}

// Of many calls with one key at the same time, here and from another process, one is handled and all have its answer.
func TestOnceAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Config{})
		defer func() { _ = b.Close() }()
		s := newTill(t, inTransaction, func(c *tidings.Config) { c.Broker, c.Remote = b, true })
		other := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote, c.Service = b, true, "mailer" })
		defer run(t, s.app)()
		defer run(t, other)()
		var calls sync.WaitGroup
		for i := range 20 {
			calls.Go(func() {
				var host tidings.Host = s.app
				if i%2 == 0 {
					host = other
				}
				if n, err := place.Call(t.Context(), host, order{"a", 1}, tidings.Once("key")); n != 1 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			})
		}
		calls.Wait()
		pass(time.Minute)
		if s.handled != 1 || len(s.got.all()) != 1 {
			t.Errorf("handled %d times, published %v", s.handled, s.got.all())
		}
	})
}

func TestWhoTakesNoKeySaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTill(t, withoutTransaction)
		s.app.Serve(tidings.Serve(lookup, answer))
		defer run(t, s.app)()
		if _, err := place.Call(t.Context(), s.app, order{"a", 1}, tidings.Once("key")); !errors.Is(err, tidings.CodeInvalid) || s.handled != 0 {
			t.Errorf("Handle: %v", err)
		}
		if _, err := lookup.Call(t.Context(), s.app, getOrder{"1"}, tidings.Once("key")); err != nil {
			t.Errorf("an answer without effect may be given again: %v", err)
		}
	})
}

// A handler's own side effects elsewhere have a key that stays the same when the caller tries again.
func TestTheCallersKeyIsTheHandlersKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var keys inbox[string]
		app := newApp(t)
		app.Serve(tidings.HandleTx(place, func(ctx context.Context, _ *memorystore.Tx, _ order) (int, tidings.Events, error) {
			keys.add(tidings.IdempotencyKey(ctx))
			return 0, nil, errors.New("try again")
		}))
		defer run(t, app)()
		for _, options := range [][]tidings.CallOption{{tidings.Once("k")}, {tidings.Once("k")}, nil, nil} {
			if _, err := place.Call(t.Context(), app, order{"a", 1}, options...); err == nil {
				t.Error("no error")
			}
		}
		if k := keys.all(); k[0] != "shop.shop.PlaceOrder.v1:k" || k[1] != k[0] || k[2] == k[3] {
			t.Errorf("keys %q", k)
		}
	})
}

func TestACommandWithoutAStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := &outage{Store: memorystore.New()}
		s := newTill(t, inTransaction, func(c *tidings.Config) { c.Store = down })
		defer run(t, s.app)()
		down.until = time.Now().Add(time.Minute)
		if _, err := place.Call(t.Context(), s.app, order{"a", 1}); tidings.CodeOf(err) != tidings.CodeUnavailable {
			t.Errorf("the store is down: %v", err)
		}
		down.until = time.Time{}
		err := tidings.InTx(t.Context(), s.app, func(ctx context.Context, _ *memorystore.Tx) error {
			_, err := place.Call(ctx, s.app, order{"a", 1})
			return err
		})
		if tidings.CodeOf(err) != tidings.CodeUnavailable || !strings.Contains(err.Error(), "InTx was called inside of InTx") {
			t.Errorf("a command inside a transaction: %v", err)
		}
	})
}

func TestTheStoreMustJoinACommand(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]store.Store{"asks for a *store.SQLTx": memorystore.New(), "HandleTx needs a store": nil} {
		app := newApp(t, func(c *tidings.Config) { c.Store = s })
		app.Serve(tidings.HandleTx(place, func(context.Context, *store.SQLTx, order) (int, tidings.Events, error) { return 0, nil, nil }))
		if err := app.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v, want %q", err, want)
		}
	}
}

// refusing takes nothing.
type refusing struct{ broker.Broker }

func (refusing) Publish(_ context.Context, records []broker.Record, done func(int, broker.Receipt, error)) {
	for i := range records {
		done(i, broker.Receipt{}, errors.New("disk full"))
	}
}

func TestHandleSaysWhenItsEventsAreMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTill(t, withoutTransaction, func(c *tidings.Config) { c.Broker = refusing{c.Broker} })
		defer run(t, s.app)()
		if _, err := place.Call(t.Context(), s.app, order{"a", 1}); err == nil || !strings.Contains(err.Error(), "the command has taken effect, and its events were not published") {
			t.Errorf("Call = %v", err)
		}
	})
}
