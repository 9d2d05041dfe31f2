package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

func TestModulesStartAfterWhatTheyDependOnAndStopBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		var steps inbox[string]
		for name, dependsOn := range map[string][]string{"web": {"orders", "stock"}, "orders": {"stock"}, "stock": nil} {
			m := app.AddModule(name, dependsOn...)
			m.OnStart(func(context.Context) error { steps.add("+" + name); return nil })
			m.OnStop(func(context.Context) error { steps.add("-" + name); return nil })
		}
		run(t, app)()
		if got := fmt.Sprint(steps.all()); got != "[+stock +orders +web -web -orders -stock]" {
			t.Errorf("steps %s", got)
		}
	})
}

func TestAFailedStartStopsWhatHadStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		var steps inbox[string]
		first, second, third := app.AddModule("first"), app.AddModule("second", "first"), app.AddModule("third", "second")
		first.OnStop(func(context.Context) error { steps.add("-first"); return nil })
		second.OnStart(func(context.Context) error { return errors.New("no port") })
		third.OnStart(func(context.Context) error { steps.add("+third"); return nil })
		err := app.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "start module second: no port") {
			t.Errorf("Run = %v", err)
		}
		if got := fmt.Sprint(steps.all()); got != "[-first]" {
			t.Errorf("steps %s", got)
		}
	})
}

func TestNothingPublishedAtStartIsMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		emitter := app.AddModule("emitter")
		emitter.Emits(tidings.Define[order]("emitter", "Said", "v1", tidings.Internal))
		said := tidings.Define[order]("emitter", "Said", "v1", tidings.Internal)
		reader := app.AddModule("reader", "emitter") // starts later
		var durable, live inbox[tidings.Raw]
		event := tidings.Named("emitter", "Said", "v1")
		reader.Subscribe(tidings.Subscription{Name: "durable"}, tidings.On(event, durable.take))
		reader.Listen(tidings.Listener{}, tidings.On(event, live.take))
		emitter.OnStart(func(ctx context.Context) error {
			return errors.Join(said.Publish(ctx, emitter.Direct(), order{"a", 1}), said.Publish(ctx, emitter.Live(), order{"a", 2}))
		})
		stop := run(t, app)
		defer stop()
		pass(time.Second)
		if len(durable.all()) != 1 || len(live.all()) != 2 {
			t.Errorf("the subscription got %d of 1, the listener %d of 2", len(durable.all()), len(live.all()))
		}
	})
}

func TestDiscoverSubscribesWithoutImport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		audit := app.AddModule("audit")
		var got inbox[tidings.Raw]
		audit.Discover(func(c *tidings.Catalog) error {
			e, ok := c.Event("shop", "OrderPlaced", "v1")
			if !ok {
				return errors.New("nobody emits it")
			}
			audit.Subscribe(tidings.Subscription{Name: "audit"}, tidings.On(e.Event(), got.take))
			return nil
		})
		app.Emits(placed)
		stop := run(t, app)
		defer stop()
		if err := placed.Publish(t.Context(), app.Direct(), order{"a", 1}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if all := got.all(); len(all) != 1 || string(all[0]) != `{"shop":"a","n":1}` {
			t.Errorf("got %s", all)
		}
	})
}

// What is registered too late would be ignored silently; Run ends with an error instead.
func TestRegisteringAfterRunIsAnError(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(t.Context()) }()
	<-app.Ready()
	app.Subscribe(tidings.Subscription{Name: "late"}, tidings.On(placed, func(context.Context, order) error { return nil }))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "Subscribe was called after Run") || !strings.Contains(err.Error(), "module_test.go") {
		t.Errorf("Run = %v", err)
	}
}

// A failing attempt leaves nothing behind, and a message that comes twice has one effect.
func TestOnTxTakesEffectOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed, shipped)
		attempts := 0
		app.Subscribe(tidings.Subscription{Name: "ship"}, tidings.OnTx(placed, func(ctx context.Context, tx *memorystore.Tx, o order) error {
			attempts++
			if err := shipped.Publish(ctx, app.Outbox(tx), o); err != nil {
				return err
			}
			if attempts == 1 {
				return errors.New("after publishing")
			}
			return nil
		}))
		var got inbox[order]
		app.Subscribe(tidings.Subscription{Name: "note"}, tidings.On(shipped, got.take))
		stop := run(t, app)
		defer stop()
		m := placed.New(order{"a", 1})
		for range 2 {
			if err := app.Forward(t.Context(), "dev.shop.public.orders.v1", withSource(m)); err != nil {
				t.Fatal(err)
			}
			pass(time.Hour) // longer than any broker remembers ids
		}
		if attempts != 2 || len(got.all()) != 1 {
			t.Errorf("%d attempts and %d effects, want 2 and 1", attempts, len(got.all()))
		}
	})
}

func withSource(m tidings.Message) tidings.Message {
	m.Source = "/elsewhere"
	return m
}

func TestBatchesAnswerEachMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed)
		var done inbox[int]
		app.Subscribe(tidings.Subscription{Name: "audit"}, tidings.OnBatch(placed, tidings.Batch{Size: 10, Wait: 5 * time.Second},
			func(_ context.Context, batch []*tidings.Delivery[order]) error {
				for _, d := range batch {
					switch n := d.Payload.N; {
					case n == 3 && len(batch) > 1:
						d.Nak(5 * time.Second)
					case n == 4:
						d.Term(errors.New("bad data"))
					default:
						done.add(n)
						d.Ack()
					}
				}
				return nil
			}))
		stop := run(t, app)
		defer stop()
		for n := range 6 {
			if err := placed.Publish(t.Context(), app.Direct(), order{fmt.Sprint(n), n}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		if got := done.all(); len(got) != 5 || got[4] != 3 {
			t.Errorf("done %v: want all but 4, and 3 last", got)
		}
	})
}

// In a transaction a batch stands together, and when it fails each message stands alone.
func TestABadMessageDoesNotHoldUpItsTransactionalBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed)
		var handled inbox[order]
		app.Subscribe(tidings.Subscription{Name: "sum", Retry: tidings.Retry{Attempts: 3}},
			tidings.OnBatchTx(placed, tidings.Batch{Size: 10, Wait: time.Second}, func(_ context.Context, _ *memorystore.Tx, batch []*tidings.Delivery[order]) error {
				for _, d := range batch {
					if d.Payload == (order{"a", 2}) {
						return errors.New("bad")
					}
				}
				for _, d := range batch {
					handled.add(d.Payload)
				}
				return nil
			}))
		stop := run(t, app)
		defer stop()
		for _, o := range []order{{"a", 1}, {"b", 1}, {"a", 2}, {"a", 3}, {"b", 2}, {"a", 4}} {
			if err := placed.Publish(t.Context(), app.Direct(), o); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Hour)
		byKey := map[string][]int{}
		for _, o := range handled.all() {
			byKey[o.Shop] = append(byKey[o.Shop], o.N)
		}
		if got := fmt.Sprint(byKey); got != "map[a:[1 3 4] b:[1 2]]" {
			t.Errorf("handled %s: want all but the bad one, each key in order", got)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app, got, stop := collect(t)
		defer stop()
		if err := app.Pause("nobody"); err == nil {
			t.Error("paused a subscription that does not exist")
		}
		if err := app.Pause("all"); err != nil {
			t.Fatal(err)
		}
		if err := placed.Publish(t.Context(), app.Direct(), order{"a", 1}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if len(got.all()) > 0 {
			t.Error("handled while paused")
		}
		if err := app.Resume("all"); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if len(got.all()) != 1 {
			t.Error("not handled after Resume")
		}
	})
}

func TestListenersOfAQueueShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Config{})
		defer func() { _ = b.Close() }()
		var app *tidings.App
		var shared, every inbox[order]
		for range 3 { // replicas
			app = newApp(t, func(c *tidings.Config) { c.Broker = b })
			app.Emits(placed)
			app.Listen(tidings.Listener{Queue: "workers"}, tidings.On(placed, shared.take))
			app.Listen(tidings.Listener{}, tidings.On(placed, func(_ context.Context, o order) error {
				every.add(o)
				panic("a listener's panic ends nothing")
			}))
			defer run(t, app)()
		}
		for n := range 10 {
			if err := placed.Publish(t.Context(), app.Live(), order{"a", n}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Second)
		if len(shared.all()) != 10 || len(every.all()) != 30 {
			t.Errorf("the queue got %d of 10, all listeners together %d of 30", len(shared.all()), len(every.all()))
		}
	})
}

func TestForwardMakesTheTopicAndKeepsTheMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed)
		var got inbox[tidings.Message]
		app.Subscribe(tidings.Subscription{Name: "copy"}, tidings.On(placed, func(ctx context.Context, _ order) error {
			m, _ := tidings.MessageFrom(ctx)
			return app.Forward(ctx, "copies", m)
		}))
		app.Subscribe(tidings.Subscription{Name: "read", Topics: []string{"copies"}}, tidings.On(tidings.Any(), func(ctx context.Context, _ tidings.Raw) error {
			m, _ := tidings.MessageFrom(ctx)
			got.add(m)
			return nil
		}))
		stop := run(t, app)
		defer stop()
		m := placed.New(order{"a", 1})
		m.Extensions = []tidings.Header{{Name: "tenant", Value: "eu"}}
		m.Headers = []tidings.Header{{Name: "X-Request", Value: "7"}}
		m.TraceState, m.DataSchema = "k=v", "https://example.com/order.json"
		if err := app.Direct().Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if all := got.all(); len(all) != 1 || all[0].ID != m.ID || all[0].Key != "a" || len(all[0].Extensions) != 1 || len(all[0].Headers) != 1 ||
			all[0].TraceState != "k=v" || all[0].DataSchema != m.DataSchema {
			t.Errorf("got %+v", all)
		}
		if err := app.Forward(t.Context(), "no spaces", m); err == nil {
			t.Error("forwarded to an impossible topic")
		}
	})
}
