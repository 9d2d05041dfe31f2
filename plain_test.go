package tidings_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// legacy is an event of a system that knows no envelopes.
var legacy = tidings.Define[order]("shop", "LegacyOrder", "v1", tidings.Topic("legacy-orders"), tidings.Plain())

// publishRaw stores a record as a system without tidings would.
func publishRaw(t *testing.T, b broker.Broker, r broker.Record) {
	t.Helper()
	stored := make(chan error, 1)
	b.Publish(t.Context(), []broker.Record{r}, func(_ int, _ broker.Receipt, err error) { stored <- err })
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
}

func TestTopicsWithoutAnEnvelopeAreReadAndWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b broker.Broker
		app := newApp(t, func(c *tidings.Config) { c.Topology, b = tidings.Fixed{}, c.Broker })
		app.Emits(legacy)
		var got inbox[tidings.Message]
		app.Subscribe(tidings.Subscription{Name: "all"}, tidings.On(legacy, func(ctx context.Context, o order) error {
			m, _ := tidings.MessageFrom(ctx)
			m.Headers = append(m.Headers, tidings.Header{Name: "shop", Value: o.Shop})
			got.add(m)
			return nil
		}))
		var heard inbox[order]
		app.Listen(tidings.Listener{}, tidings.On(legacy, heard.take))
		stop := run(t, app)
		publishRaw(t, b, broker.Record{Topic: "legacy-orders", Key: "a", Headers: []broker.Header{{Name: "x", Value: "y"}}, Value: []byte(`{"shop":"a","n":1}`)})
		if err := legacy.Publish(t.Context(), app.Direct(), order{Shop: "b", N: 2}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		stop()

		messages := got.all()
		if len(messages) != 2 || len(heard.all()) != 2 {
			t.Fatalf("%d messages were handled and %d heard, want 2", len(messages), len(heard.all()))
		}
		slices.SortFunc(messages, func(x, y tidings.Message) int { return strings.Compare(x.Key, y.Key) })
		for i, shop := range []string{"a", "b"} {
			m := messages[i]
			if h := m.Headers[len(m.Headers)-1]; h.Value != shop || m.Key != shop || m.Type != "shop.LegacyOrder.v1" ||
				m.Source != "/legacy-orders" || !strings.HasPrefix(m.ID, "legacy-orders/") || m.Time.IsZero() {
				t.Errorf("message %d is %+v", i, m)
			}
		}
		if messages[0].ID == messages[1].ID || messages[0].Headers[0].Value != "y" {
			t.Errorf("the messages are %+v", messages)
		}
		for _, r := range readAll(t, b, "legacy-orders") {
			if _, enveloped := r.Header("ce-type"); enveloped {
				t.Errorf("a record has an envelope: %+v", r)
			}
		}
	})
}

func TestTwoPlainEventsOfOneTopicAreRefused(t *testing.T) {
	t.Parallel()
	app := newApp(t, func(c *tidings.Config) { c.Topology = tidings.Fixed{} })
	app.Emits(legacy, tidings.Define[order]("shop", "LegacyInvoice", "v1", tidings.Topic("legacy-orders"), tidings.Plain()))
	if err := app.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "both Plain on topic \"legacy-orders\"") {
		t.Errorf("Check says %v", err)
	}
}

// A dead letter that is made ready comes to its subscription again, to no other, with the identity that it had, and leaves the store when it is handled.
func TestADeadLetterIsRetriedByItsSubscriptionAlone(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]*tidings.Event[order]{"with an envelope": placed, "without": legacy} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { retryOne(t, event) })
		})
	}
}

func retryOne(t *testing.T, event *tidings.Event[order]) {
	t.Helper()
	var st store.Store
	app := newApp(t, func(c *tidings.Config) { st = c.Store })
	app.Emits(event)
	broken := true
	var ids, others inbox[string]
	app.Subscribe(tidings.Subscription{Name: "broken", Retry: tidings.Retry{Attempts: 2}}, tidings.On(event, func(ctx context.Context, _ order) error {
		m, _ := tidings.MessageFrom(ctx)
		ids.add(m.Source + " " + m.ID)
		if broken {
			return errors.New("broken")
		}
		return nil
	}))
	app.Subscribe(tidings.Subscription{Name: "other"}, tidings.On(event, func(context.Context, order) error {
		others.add("")
		return nil
	}))
	stop := run(t, app)
	if err := event.Publish(t.Context(), app.Direct(), order{Shop: "a", N: 1}); err != nil {
		t.Fatal(err)
	}
	pass(time.Minute)
	retry := func() (n int) {
		for row := range st.List(t.Context(), store.Filter{Queues: []string{"shop.broken"}, States: []store.State{store.Dead}}) {
			n++
			err := st.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
				_, err := tx.StoreTx().Move(ctx, store.Ready, row.ID)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		return n
	}
	if n := retry(); n != 1 { // and fails again
		t.Fatalf("%d dead letters, want 1", n)
	}
	broken = false
	if n := retry(); n != 1 {
		t.Fatalf("%d dead letters after the retry failed, want 1", n)
	}
	stop()
	got := ids.all()
	if len(got) != 5 || len(others.all()) != 1 {
		t.Errorf("handled %d times by its subscription and %d times by the other, want 5 and 1", len(got), len(others.all()))
	}
	for _, id := range got {
		if id != got[0] {
			t.Errorf("the message has the ids %q", got)
			break
		}
	}
	for row := range st.List(t.Context(), store.Filter{}) {
		t.Errorf("left in the store: %+v", row)
	}
}
