package lake_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/forward"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/lake"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

type (
	soldV1 struct {
		Shop  string `json:"shop" tidings:"key"`
		Euros int    `json:"euros"`
	}
	soldV2 struct {
		Shop  string `json:"shop" tidings:"key"`
		Cents int    `json:"cents"`
	}
)

var (
	sold1 = tidings.Define[soldV1]("notes", "Sold", "v1")
	sold2 = tidings.Evolve(sold1, "v2", func(old soldV1) (soldV2, error) {
		if old.Euros < 0 {
			return soldV2{}, errors.New("less than nothing")
		}
		return soldV2{old.Shop, old.Euros * 100}, nil
	})
	// sold1Alone is how a service knows the event that has never heard of v2.
	sold1Alone = tidings.Define[soldV1]("notes", "Sold", "v1")
)

// By whichever version a fact is published, old (v1 alone) or new (v2 and, for readers of v1, its twin), and by whichever it is read, every reader has it once: a listener, a
// subscription, one that begins with the backlog, dead letters that are sent back, and who reads the lake.
func TestVersionsInAllCombinations(t *testing.T) {
	t.Parallel()
	b := memory.New(memory.Config{})
	t.Cleanup(func() { _ = b.Close() })
	s := openShop(t)
	var heard readers
	app := tidings.New(tidings.Config{Service: "notes", Broker: b, Store: s, Topology: tidings.Shared{}, Log: slog.New(slog.DiscardHandler)})
	app.Emits(sold1, sold2)
	lake.Add(app.Module, lake.Config{Batch: tidings.Batch{Wait: time.Millisecond}})
	forward.Add(app.Module, forward.Config{})
	app.Listen(tidings.Listener{}, react(&heard, "new, listening", sold2, nil))
	app.Subscribe(tidings.Subscription{Name: "new"}, react(&heard, "new, subscribed", sold2, nil))
	broken := errors.New("not yet")
	app.Subscribe(tidings.Subscription{Name: "new-dead", Retry: tidings.Retry{Attempts: 1}}, react(&heard, "new, dead letters", sold2, &broken))
	old := newShop(t, b, "old")
	old.Listen(tidings.Listener{}, react(&heard, "old, listening", sold1Alone, nil))
	old.Subscribe(tidings.Subscription{Name: "old"}, react(&heard, "old, subscribed", sold1Alone, nil))
	runApps(t, app, old)

	publish := func(to tidings.Publisher, by string, n int) {
		t.Helper()
		messages := []tidings.Message{sold1.New(soldV1{by, n})}
		if by == "new" {
			messages = tidings.Twins(sold2.New(soldV2{by, 100 * n}), sold1.New(soldV1{by, n}))
		}
		if err := to.Publish(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
	}
	for _, by := range []string{"old", "new"} {
		publish(app.Live(), by, 1)
		publish(app.Direct(), by, 2)
		err := tidings.InTx(t.Context(), app, func(_ context.Context, tx *store.SQLTx) error { publish(app.Outbox(tx), by, 3); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	stored := []string{"new 200", "new 300", "old 200", "old 300"}
	live := append([]string{"new 100", "old 100"}, stored...)
	slices.Sort(live)
	heard.await(t, "new, listening", live)
	heard.await(t, "old, listening", live)
	heard.await(t, "new, subscribed", stored)
	heard.await(t, "old, subscribed", stored)

	testenv.Eventually(t, time.Minute, func() error { return reviveDead(t, s, len(stored)) })
	heard.await(t, "new, dead letters", stored)

	late, lateOld := newShop(t, b, "late"), newShop(t, b, "late-old")
	late.Subscribe(tidings.Subscription{Name: "new"}, react(&heard, "new, backlog", sold2, nil))
	lateOld.Subscribe(tidings.Subscription{Name: "old"}, react(&heard, "old, backlog", sold1Alone, nil))
	runApps(t, late, lateOld)
	heard.await(t, "new, backlog", stored)
	heard.await(t, "old, backlog", stored)

	testenv.Eventually(t, time.Minute, func() error {
		n, err := lake.Count(t.Context(), s.DB(), lake.Filter{})
		if err == nil && n != 6 {
			err = fmt.Errorf("the lake has %d of 6 messages", n)
		}
		return err
	})
	replay(t, &heard, "new, lake", s, sold2)
	replay(t, &heard, "old, lake", s, sold1Alone)
	heard.await(t, "new, lake", stored)
	heard.await(t, "old, lake", stored)
}

// What can't be lifted is an error beside its message, and the rest comes all the same.
func TestReplayGoesOnAfterWhatItCantRead(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.publish(made.New(noted{Key: "a", N: 1}), sold1.New(soldV1{"a", 1}), sold1.New(soldV1{"a", -1}), sold2.New(soldV2{"a", 300}), sold1.New(soldV1{"a", 4}))
	r.wait(5)
	for limit, want := range map[int]string{0: "[100 error 300 400]", 2: "[100 error]"} {
		var got []string
		for fact, err := range lake.Replay(t.Context(), r.db, sold2, lake.Filter{Limit: limit}) {
			if err != nil {
				if fact.Message.Position == 0 {
					t.Errorf("%v has no message", err)
				}
				got = append(got, "error")
				continue
			}
			got = append(got, fmt.Sprint(fact.Payload.Cents))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("limit %d: got %v, want %s", limit, got, want)
		}
	}
	n := 0
	for _, err := range lake.Replay(t.Context(), r.db, tidings.Every(), lake.Filter{}) {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 5 {
		t.Errorf("of 5 messages Every reads %d", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range lake.Replay(ended, r.db, sold2, lake.Filter{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("reading after the end: %v", err)
		}
	}
}

// readers notes what each reader has got.
type readers struct {
	mu  sync.Mutex
	got map[string][]string
}

func (r *readers) add(name, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.got == nil {
		r.got = map[string][]string{}
	}
	r.got[name] = append(r.got[name], what)
}

func (r *readers) await(t *testing.T, name string, want []string) {
	t.Helper()
	testenv.Eventually(t, time.Minute, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if got := slices.Sorted(slices.Values(r.got[name])); !slices.Equal(got, want) {
			return fmt.Errorf("%s: got %v, want %v", name, got, want)
		}
		return nil
	})
}

// text is a payload of either version, in the words of both.
func text(payload any) string {
	switch p := payload.(type) {
	case soldV1:
		return fmt.Sprint(p.Shop, " ", p.Euros*100)
	case soldV2:
		return fmt.Sprint(p.Shop, " ", p.Cents)
	}
	return "?"
}

// react notes what comes; with fails, each message fails once.
func react[T any](r *readers, name string, event *tidings.Event[T], fails *error) tidings.LiveReaction {
	var mu sync.Mutex
	failed := map[string]bool{}
	return tidings.On(event, func(_ context.Context, payload T) error {
		mu.Lock()
		defer mu.Unlock()
		if what := text(payload); fails != nil && !failed[what] {
			failed[what] = true
			return *fails
		}
		r.add(name, text(payload))
		return nil
	})
}

func replay[T any](t *testing.T, r *readers, name string, s *sqlite.Store, event *tidings.Event[T]) {
	t.Helper()
	for fact, err := range lake.Replay(t.Context(), s.DB(), event, lake.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		r.add(name, text(fact.Payload))
	}
}

// reviveDead sends all dead letters back once there are as many.
func reviveDead(t *testing.T, s *sqlite.Store, want int) error {
	t.Helper()
	var dead []int64
	for row, err := range s.List(t.Context(), store.Filter{States: []store.State{store.Dead}}) {
		if err != nil {
			return err
		}
		dead = append(dead, row.ID)
	}
	if len(dead) != want {
		return fmt.Errorf("%d of %d dead letters", len(dead), want)
	}
	return s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
		_, err := tx.StoreTx().Move(ctx, store.Ready, dead...)
		return err
	})
}

func openShop(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "shop.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := lake.Migrate(t.Context(), s.DB()); err != nil {
		t.Fatal(err)
	}
	return s
}

// newShop is a service that only reads.
func newShop(t *testing.T, b broker.Broker, name string) *tidings.App {
	t.Helper()
	return tidings.New(tidings.Config{Service: name, Broker: b, Store: openShop(t), Topology: tidings.Shared{}, Log: slog.New(slog.DiscardHandler)})
}

// runApps runs apps until the test ends.
func runApps(t *testing.T, apps ...*tidings.App) {
	t.Helper()
	for _, app := range apps {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- app.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		select {
		case <-app.Ready():
		case err := <-done:
			done <- nil
			t.Fatalf("the app ended: %v", err)
		}
	}
}
