package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

func TestMain(m *testing.M) {
	if said := testenv.Child(); said != "" {
		if err := sell(context.Background(), said); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var options []goleak.Option
	for _, f := range []string{".(*fileStore).flushStreamStateLoop", ".(*msgBlock).flushLoop", "/ats.Register.func1"} {
		// A nats-server that was shut down leaves these behind for a while, or for good.
		options = append(options, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server"+f))
	}
	goleak.VerifyTestMain(m, options...)
}

// order is the event of these tests: N counts the messages of a key.
type order struct {
	Shop string `json:"shop" tidings:"key"`
	N    int    `json:"n"`
}

var (
	placed  = tidings.Define[order]("shop", "OrderPlaced", "v1", tidings.Entity("order"))
	shipped = tidings.Define[order]("shop", "OrderShipped", "v1", tidings.Entity("order"))
)

func newApp(t *testing.T, change ...func(*tidings.Config)) *tidings.App {
	t.Helper()
	b := memory.New(memory.Config{})
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := tidings.Config{Service: "shop", Broker: b, Store: memorystore.New(), Stop: 5 * time.Second, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&cfg)
	}
	return tidings.New(cfg)
}

// run runs the app until the test calls the function that it returns, which waits for the end.
func run(t *testing.T, app *tidings.App) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	select {
	case <-app.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("the app did not start: %v", err)
	}
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// collect runs an app that publishes placed, and collects what its subscription "all" gets.
func collect(t *testing.T) (app *tidings.App, got *inbox[order], stop func()) {
	t.Helper()
	app, got = newApp(t), &inbox[order]{}
	app.Emits(placed)
	app.Subscribe(tidings.Subscription{Name: "all"}, tidings.On(placed, got.take))
	return app, got, run(t, app)
}

// pass lets virtual time pass, and what is due then happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// inbox collects what reactions got.
type inbox[T any] struct {
	mu  sync.Mutex
	got []T
}

func (i *inbox[T]) add(v T) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.got = append(i.got, v)
}

func (i *inbox[T]) all() []T {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]T(nil), i.got...)
}

func (i *inbox[T]) take(_ context.Context, v T) error {
	i.add(v)
	return nil
}

func TestPublishAndReact(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed, shipped)
		var mailer, stock inbox[order]
		var heard inbox[tidings.Message]
		app.Subscribe(tidings.Subscription{Name: "mailer"}, tidings.On(placed, mailer.take))
		app.Subscribe(tidings.Subscription{Name: "stock"}, tidings.On(placed, stock.take), tidings.On(shipped, stock.take))
		app.Listen(tidings.Listener{}, tidings.On(placed, func(ctx context.Context, _ order) error {
			m, _ := tidings.MessageFrom(ctx)
			heard.add(m)
			return nil
		}))
		stop := run(t, app)
		defer stop()

		receipts, err := app.Direct().Send(t.Context(), placed.New(order{"a", 1}), shipped.New(order{"a", 2}))
		if err != nil || len(receipts) != 2 || receipts[0].Topic != "dev.shop.public.orders.v1" {
			t.Fatalf("Send = %v, %v", receipts, err)
		}
		if receipts[0].Partition != receipts[1].Partition || receipts[0].Sequence >= receipts[1].Sequence {
			t.Errorf("two messages of one key are not one after the other: %v", receipts)
		}
		if err := placed.Publish(t.Context(), app.Live(), order{"a", 3}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := mailer.all(); len(got) != 1 || got[0] != (order{"a", 1}) {
			t.Errorf("mailer got %v", got)
		}
		if got := stock.all(); len(got) != 2 || got[0].N != 1 || got[1].N != 2 {
			t.Errorf("stock got %v: a subscription keeps the order across its events of one topic", got)
		}
		if got := heard.all(); len(got) != 2 {
			t.Errorf("the listener heard %d messages, want the durable and the live one", len(got))
		}
		m := heard.all()[0]
		if m.Source != "/shop" || m.Type != "shop.OrderPlaced.v1" || m.Key != "a" || m.CorrelationID != m.ID || m.ContentType != "application/json" {
			t.Errorf("message %+v", m)
		}
	})
}

func TestReactionsPublishWithCorrelationAndCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed, shipped)
		var seen inbox[tidings.Message]
		note := func(ctx context.Context) {
			m, _ := tidings.MessageFrom(ctx)
			seen.add(m)
		}
		app.Subscribe(tidings.Subscription{Name: "ship"}, tidings.OnTx(placed, func(ctx context.Context, tx *memorystore.Tx, o order) error {
			note(ctx)
			return shipped.Publish(ctx, app.Outbox(tx), o)
		}))
		app.Subscribe(tidings.Subscription{Name: "note"}, tidings.On(shipped, func(ctx context.Context, _ order) error {
			note(ctx)
			return nil
		}))
		stop := run(t, app)
		defer stop()
		first := placed.New(order{"a", 1})
		first.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		if err := app.Direct().Publish(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		got := seen.all()
		if len(got) != 2 {
			t.Fatalf("%d messages were handled, want 2", len(got))
		}
		if cause := got[1].CausationID; cause != first.ID || got[1].CorrelationID != first.ID || got[1].TraceParent != first.TraceParent {
			t.Errorf("the second message has cause %q, correlation %q, trace %q; the first was %q", cause, got[1].CorrelationID, got[1].TraceParent, first.ID)
		}
	})
}

func TestOutboxSendsWhatCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app, got, stop := collect(t)
		defer stop()
		var kept *memorystore.Tx
		rolledBack := errors.New("no")
		err := tidings.InTx(t.Context(), app, func(ctx context.Context, tx *memorystore.Tx) error {
			kept = tx
			return errors.Join(placed.Publish(ctx, app.Outbox(tx), order{"a", 1}), rolledBack)
		})
		if !errors.Is(err, rolledBack) {
			t.Fatal(err)
		}
		if err = placed.Publish(t.Context(), app.Outbox(kept), order{"a", 2}); !errors.Is(err, tidings.ErrTxDone) {
			t.Errorf("publishing in a finished transaction: %v", err)
		}
		if err = placed.Publish(t.Context(), app.Outbox((*memorystore.Tx)(nil)), order{"a", 2}); !errors.Is(err, tidings.ErrTxDone) {
			t.Errorf("publishing in a nil transaction: %v", err)
		}
		if err = placed.Publish(t.Context(), app.Outbox(nil), order{"a", 2}); !errors.Is(err, tidings.ErrTxDone) {
			t.Errorf("publishing in no transaction: %v", err)
		}
		if err = placed.Publish(t.Context(), app.Outbox((*store.SQLTx)(nil)), order{"a", 2}); err == nil || !strings.Contains(err.Error(), "not of this app's store") {
			t.Errorf("publishing in another store's transaction: %v", err)
		}
		err = tidings.InTx(t.Context(), app, func(ctx context.Context, tx *memorystore.Tx) error {
			later := placed.New(order{"b", 1})
			later.NotBefore = time.Now().Add(time.Hour)
			return app.Outbox(tx).Publish(ctx, placed.New(order{"a", 3}), later)
		})
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if all := got.all(); len(all) != 1 || all[0].N != 3 {
			t.Errorf("got %v, want only what was committed and is due", all)
		}
		pass(time.Hour)
		if all := got.all(); len(all) != 2 {
			t.Errorf("got %v, want the scheduled message too", all)
		}
	})
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	app := newApp(t, func(c *tidings.Config) { c.MaxMessageBytes = 1000 })
	large := tidings.Define[string]("shop", "Large", "v1")
	app.Emits(placed, large)
	ctx := t.Context()
	scheduled := placed.New(order{"a", 1})
	scheduled.NotBefore = time.Now().Add(time.Hour)
	control := placed.New(order{"a", 1})
	control.Subject = "line\nbreak"
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"what the app did not declare", shipped.Publish(ctx, app.Direct(), order{"a", 1}), "did not declare it: add it to Emits"},
		{"too large", large.Publish(ctx, app.Direct(), strings.Repeat("x", 2000)), broker.ErrTooLarge.Error()},
		{"an empty key", placed.Publish(ctx, app.Direct(), order{}), "key field shop is empty"},
		{"unencodable", tidings.Define[any]("shop", "Any", "v1").Publish(ctx, app.Direct(), make(chan int)), "encode shop.Any.v1"},
		{"scheduled, directly", app.Direct().Publish(ctx, scheduled), "NotBefore"},
		{"scheduled, live", app.Live().Publish(ctx, scheduled), "NotBefore"},
		{"made by hand", app.Direct().Publish(ctx, tidings.Message{Type: "shop.OrderPlaced.v1"}), "make it with Event.New"},
		{"an attribute with a line break", app.Direct().Publish(ctx, control), `"subject"`},
	}
	for _, test := range tests {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: %v; want an error with %q", test.name, test.err, test.want)
		}
	}
	states, err := app.Topics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if s.Messages > 0 {
			t.Errorf("topic %s has %d messages: something refused was sent", s.Name, s.Messages)
		}
	}
}

// One bad message of two: neither is sent.
func TestPublishSendsAllOrNothingWhenAMessageIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app, got, stop := collect(t)
		defer stop()
		if err := app.Direct().Publish(t.Context(), placed.New(order{"a", 1}), placed.New(order{})); err == nil {
			t.Error("a message without key was taken")
		}
		synctest.Wait()
		if all := got.all(); len(all) > 0 {
			t.Errorf("%v was sent", all)
		}
	})
}

// What can't be handled goes to the dead letters with its bytes and history; what no reaction names is skipped; the rest goes on.
func TestDeadLettersAreKeptInTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		giveUp(t, s)
		var dead []broker.Record
		for row, err := range s.List(t.Context(), store.Filter{Queues: []string{"shop.all"}, States: []store.State{store.Dead}}) {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(row.History), `"error"`) {
				t.Errorf("a dead letter has no history: %+v", row)
			}
			dead = append(dead, row.Record)
		}
		if len(dead) != 4 || string(dead[0].Value) != "not an event" {
			t.Errorf("%d dead letters, want 4: %q", len(dead), dead)
		}
	})
}

func TestDeadLettersGoToATopicWhereThereIsNoStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := giveUp(t, nil)
		dead := readAll(t, b, "shop.all.dead-letters")
		if len(dead) != 4 || string(dead[0].Value) != "not an event" {
			t.Errorf("%d dead letters, want 4: %q", len(dead), dead)
		}
		for _, r := range dead {
			if from, _ := r.Header("tidings-dead-topic"); from != ordersTopic {
				t.Errorf("a dead letter came from %q", from)
			}
			if _, ok := r.Header("tidings-dead-failure"); !ok {
				t.Errorf("a dead letter has no history: %v", r.Headers)
			}
		}
	})
}

const ordersTopic = "dev.shop.public.orders.v1"

// giveUp runs an app that handles good messages and, of one key, four that no handler can do anything with.
func giveUp(t *testing.T, s store.Store) broker.Broker {
	t.Helper()
	b := memory.New(memory.Config{})
	t.Cleanup(func() { _ = b.Close() })
	app := newApp(t, func(c *tidings.Config) { c.Broker, c.Store = b, s })
	app.Emits(placed)
	var got inbox[order]
	app.Subscribe(tidings.Subscription{Name: "all", Retry: tidings.Retry{Attempts: 3}}, tidings.On(placed, func(_ context.Context, o order) error {
		got.add(o)
		if o.N == 2 {
			return errors.New("no stock")
		}
		return nil
	}))
	stop := run(t, app)
	defer stop()
	event := func(typ, data string) broker.Record {
		return broker.Record{Topic: ordersTopic, Key: "a", Value: []byte(data), Headers: []broker.Header{
			{Name: "ce-specversion", Value: "1.0"}, {Name: "ce-id", Value: typ}, {Name: "ce-source", Value: "/x"}, {Name: "ce-type", Value: typ},
		}}
	}
	b.Publish(t.Context(), []broker.Record{
		{Topic: ordersTopic, Key: "a", Value: []byte("not an event")},
		event("shop.OrderPlaced.v7", "{}"),
		event("shop.OrderPlaced.v1", "{broken"),
		event("other.Thing.v1", "{}"),
	}, func(_ int, _ broker.Receipt, err error) {
		if err != nil {
			t.Error(err)
		}
	})
	for n := 1; n <= 3; n++ {
		if err := placed.Publish(t.Context(), app.Direct(), order{"a", n}); err != nil {
			t.Fatal(err)
		}
	}
	pass(time.Hour)
	if all := fmt.Sprint(got.all()); all != "[{a 1} {a 2} {a 2} {a 2} {a 3}]" {
		t.Errorf("handled %v: want 1, three attempts of 2, and then 3", all)
	}
	return b
}

func readAll(t *testing.T, b broker.Broker, topic string) []broker.Record {
	t.Helper()
	var got inbox[broker.Record]
	err := b.Consume(t.Context(), broker.Reader{Topics: []string{topic}, ToEnd: true}, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 100, 1<<20)
			if err != nil {
				return
			}
			for _, d := range deliveries {
				got.add(d.Record)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return got.all()
}
