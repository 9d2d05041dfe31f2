package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/store"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// Three versions of one event. V3 has another key.
type (
	paidV1 struct {
		Shop  string  `json:"shop" tidings:"key"`
		Euros float64 `json:"euros"`
	}
	paidV2 struct {
		Shop  string `json:"shop" tidings:"key"`
		Cents int    `json:"cents"`
	}
	paidV3 struct {
		Shop     string `json:"shop" tidings:"key"`
		Cents    int    `json:"cents"`
		Currency string `json:"currency"`
	}
)

var (
	paid1 = tidings.Define[paidV1]("shop", "Paid", "v1", tidings.Entity("payment"))
	paid2 = tidings.Evolve(paid1, "v2", func(old paidV1) (paidV2, error) {
		switch old.Euros {
		case -1:
			return paidV2{}, errors.New("a negative amount")
		case -2:
			panic("boom")
		}
		return paidV2{old.Shop, int(old.Euros * 100)}, nil
	})
	paid3 = tidings.Evolve(paid2, "v3", func(old paidV2) (paidV3, error) { return paidV3{old.Shop, old.Cents, "EUR"}, nil })
)

// note collects payloads as text.
func note[T any](to *inbox[string]) func(context.Context, T) error {
	return func(ctx context.Context, v T) error {
		m, _ := tidings.MessageFrom(ctx)
		to.add(fmt.Sprintf("%s %v", m.Type[len("shop.Paid."):], v))
		return nil
	}
}

func sorted(i *inbox[string]) string {
	all := i.all()
	slices.Sort(all)
	return fmt.Sprint(all)
}

func TestAReactionHandlesOlderVersions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(paid1, paid2, paid3)
		var newest, exact, oldest, single, batch, heard inbox[string]
		app.Subscribe(tidings.Subscription{Name: "newest", Retry: tidings.Retry{Attempts: 3}}, tidings.On(paid3, note[paidV3](&newest)))
		app.Subscribe(tidings.Subscription{Name: "exact"}, tidings.On(paid1, note[paidV1](&exact)), tidings.On(paid3, note[paidV3](&exact)))
		app.Subscribe(tidings.Subscription{Name: "oldest"}, tidings.On(paid1, note[paidV1](&oldest)))
		app.Subscribe(tidings.Subscription{Name: "single"}, tidings.OnTx(paid2, func(ctx context.Context, _ *memorystore.Tx, e paidV2) error { return note[paidV2](&single)(ctx, e) }))
		app.Subscribe(tidings.Subscription{Name: "batch"}, tidings.OnBatch(paid3, tidings.Batch{}, func(ctx context.Context, all []*tidings.Delivery[paidV3]) error {
			for _, d := range all {
				if err := note[paidV3](&batch)(d.Context(ctx), d.Payload); err != nil {
					return err
				}
			}
			return nil
		}))
		app.Listen(tidings.Listener{}, tidings.On(paid2, note[paidV2](&heard)))
		defer run(t, app)()
		err := errors.Join(
			paid1.Publish(t.Context(), app.Direct(), paidV1{"a", 1}),
			paid2.Publish(t.Context(), app.Direct(), paidV2{"a", 200}),
			paid3.Publish(t.Context(), app.Direct(), paidV3{"a", 300, "CZK"}),
			paid1.Publish(t.Context(), app.Live(), paidV1{"a", 4}),
			tidings.InTx(t.Context(), app, func(ctx context.Context, tx *memorystore.Tx) error {
				return paid1.Publish(ctx, app.Outbox(tx), paidV1{"b", 5})
			}),
		)
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		for name, want := range map[*inbox[string]]string{
			&newest: "[v1 {a 100 EUR} v1 {b 500 EUR} v2 {a 200 EUR} v3 {a 300 CZK}]",
			&exact:  "[v1 {a 1} v1 {b 5} v2 {a 200 EUR} v3 {a 300 CZK}]",
			&oldest: "[v1 {a 1} v1 {b 5}]",
			&single: "[v1 {a 100} v1 {b 500} v2 {a 200}]",
			&batch:  "[v1 {a 100 EUR} v1 {b 500 EUR} v2 {a 200 EUR} v3 {a 300 CZK}]",
			&heard:  "[v1 {a 100} v1 {a 400} v1 {b 500} v2 {a 200}]",
		} {
			if got := sorted(name); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

// What can't be made new goes to the dead letters, and comes back to the same reaction.
func TestDeadLettersOfOlderVersions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		app := newApp(t, func(c *tidings.Config) { c.Store = s })
		app.Emits(paid1)
		var got inbox[string]
		broken := true
		app.Subscribe(tidings.Subscription{Name: "all", Retry: tidings.Retry{Attempts: 2}}, tidings.On(paid3, func(ctx context.Context, e paidV3) error {
			if e.Cents == 300 && broken {
				return errors.New("not yet")
			}
			return note[paidV3](&got)(ctx, e)
		}))
		defer run(t, app)()
		for _, euros := range []float64{-1, -2, 3, 4} {
			if err := paid1.Publish(t.Context(), app.Direct(), paidV1{"a", euros}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		var dead []int64
		text := ""
		for row, err := range s.List(t.Context(), store.Filter{States: []store.State{store.Dead}}) {
			if err != nil {
				t.Fatal(err)
			}
			dead = append(dead, row.ID)
			text += string(row.History)
		}
		if len(dead) != 3 || !strings.Contains(text, "make a shop.Paid.v2 of a shop.Paid.v1: a negative amount") || !strings.Contains(text, "panic: boom") {
			t.Errorf("%d dead letters: %s", len(dead), text)
		}
		broken = false
		err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
			_, err := tx.StoreTx().Move(ctx, store.Ready, dead...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if want := "[v1 {a 300 EUR} v1 {a 400 EUR}]"; sorted(&got) != want {
			t.Errorf("got %s, want %s", sorted(&got), want)
		}
	})
}

func TestInReadsOlderVersions(t *testing.T) {
	t.Parallel()
	if got, err := paid3.In(paid1.New(paidV1{"a", 1})); err != nil || got != (paidV3{"a", 100, "EUR"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := paid1.In(paid3.New(paidV3{"a", 1, "EUR"})); err == nil {
		t.Error("an old version read a new one")
	}
	if d := paid3.Definition(); d.Older != "shop.Paid.v2" || d.TopicVersion != "v3" || d.Entity != "payment" || len(d.Key) != 1 {
		t.Errorf("definition %+v", d)
	}
}

// Any reads the newest of twins and Every all of them, as their reactions do.
func TestWhatAnyAndEveryRead(t *testing.T) {
	t.Parallel()
	twins := tidings.Twins(paid2.New(paidV2{"a", 1}), paid1.New(paidV1{"a", 1}))
	for _, m := range append(twins, paid3.New(paidV3{"a", 1, "EUR"})) {
		if got, want := tidings.Any().Reads(m), m.Type != "shop.Paid.v1"; got != want {
			t.Errorf("Any reads %s: %v, want %v", m.Type, got, want)
		}
		if !tidings.Every().Reads(m) {
			t.Errorf("Every does not read %s", m.Type)
		}
	}
}

func TestCheckOfVersions(t *testing.T) {
	t.Parallel()
	lift := func(paidV1) (paidV2, error) { return paidV2{}, nil }
	back := tidings.Evolve(paid1, "v1", lift)
	none := tidings.Evolve[paidV1, paidV2](nil, "v2", lift)
	blind := tidings.Evolve[paidV1, paidV2](paid1, "v5", nil)
	unnamed := tidings.Evolve(tidings.Named("shop", "Other", "v1"), "v2", func(tidings.Raw) (paidV2, error) { return paidV2{}, nil })
	branch := tidings.Evolve(paid1, "v4", lift)
	nothing := func(context.Context, paidV2) error { return nil }
	app := newApp(t)
	app.Emits(back, none, blind, unnamed)
	app.Subscribe(tidings.Subscription{Name: "fork"}, tidings.On(paid2, nothing), tidings.On(branch, nothing))
	err := app.Check(t.Context())
	for _, want := range []string{
		`version "v1" is not newer than "v1"`, "evolves from an event that is nil", "the function that makes a new payload of an old one is nil", "only known by name",
		"shop.Paid.v2 and shop.Paid.v4 both evolve from shop.Paid.v1", "evolve_test.go",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

// However a service reads, and whatever the topics are, a fact that is told in several versions has one effect in each subscription.
func TestTwinsHaveOneEffect(t *testing.T) {
	t.Parallel()
	for name, topology := range map[string]tidings.Topology{"a topic per version": tidings.Scoped{}, "one topic": one{}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { twins(t, topology) })
		})
	}
}

// one puts everything on one topic.
type one struct{}

func (one) PublishTopic(string, tidings.Definition) (string, error)   { return "everything", nil }
func (one) SubscribeTopic(string, tidings.Definition) (string, error) { return "everything", nil }

func twins(t *testing.T, topology tidings.Topology) {
	t.Helper()
	b := memory.New(memory.Config{})
	defer func() { _ = b.Close() }()
	s := memorystore.New()
	app := newApp(t, func(c *tidings.Config) { c.Topology, c.Broker, c.Store = topology, b, s })
	app.Emits(paid1, paid2)
	// A service that has never heard of v2, and takes it for an unknown version.
	old := newApp(t, func(c *tidings.Config) { c.Topology, c.Broker, c.Service = topology, b, "old" })
	var first, second, both, lifting, heard, all, every inbox[string]
	old.Subscribe(tidings.Subscription{Name: "first"}, tidings.On(tidings.Define[paidV1]("shop", "Paid", "v1", tidings.Entity("payment")), note[paidV1](&first)))
	app.Subscribe(tidings.Subscription{Name: "second"}, tidings.On(paid2, note[paidV2](&second)))
	app.Subscribe(tidings.Subscription{Name: "both"}, tidings.On(paid1, note[paidV1](&both)), tidings.On(paid2, note[paidV2](&both)))
	app.Subscribe(tidings.Subscription{Name: "lifting"}, tidings.OnTx(paid3, func(ctx context.Context, _ *memorystore.Tx, e paidV3) error { return note[paidV3](&lifting)(ctx, e) }))
	app.Listen(tidings.Listener{}, tidings.On(paid1, note[paidV1](&heard)), tidings.On(paid2, note[paidV2](&heard)))
	app.Subscribe(tidings.Subscription{Name: "all", Topics: []string{"everything", "dev.shop.public.payments.v1", "dev.shop.public.payments.v2"}}, tidings.On(tidings.Any(), note[tidings.Raw](&all)))
	app.Subscribe(tidings.Subscription{Name: "every", Topics: []string{"everything", "dev.shop.public.payments.v1", "dev.shop.public.payments.v2"}},
		tidings.OnTx(tidings.Every(), func(ctx context.Context, _ *memorystore.Tx, e tidings.Raw) error {
			return note[tidings.Raw](&every)(ctx, e)
		}))
	defer run(t, app)()
	defer run(t, old)()
	fact := func(n int) []tidings.Message {
		return tidings.Twins(paid2.New(paidV2{"a", n}), paid1.New(paidV1{"a", float64(n)}))
	}
	if err := app.Direct().Publish(t.Context(), fact(1)...); err != nil {
		t.Fatal(err)
	}
	err := tidings.InTx(t.Context(), app, func(ctx context.Context, tx *memorystore.Tx) error { return app.Outbox(tx).Publish(ctx, fact(2)...) })
	if err != nil {
		t.Fatal(err)
	}
	pass(time.Minute)
	for i, want := range map[*inbox[string]]string{
		&first:   "[v1 {a 1} v1 {a 2}]",
		&second:  "[v2 {a 1} v2 {a 2}]",
		&both:    "[v2 {a 1} v2 {a 2}]",
		&lifting: "[v2 {a 1 EUR} v2 {a 2 EUR}]",
		&heard:   "[v2 {a 1} v2 {a 2}]",
	} {
		if got := sorted(i); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if n := len(all.all()); n != 2 {
		t.Errorf("Any got %d of 2: %s", n, sorted(&all))
	}
	if n := len(every.all()); n != 4 {
		t.Errorf("Every got %d of 4: %s", n, sorted(&every))
	}
	for _, service := range []string{"shop.second", "old.first"} {
		for row := range s.List(t.Context(), store.Filter{Queues: []string{service}}) {
			t.Errorf("a dead letter of %s: %s", service, row.History)
		}
	}
}

// An event in one JSON document has twins too.
func TestTwinsInStructuredMode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b broker.Broker
		app := newApp(t, func(c *tidings.Config) { b = c.Broker })
		var got inbox[string]
		app.Subscribe(tidings.Subscription{Name: "all"}, tidings.On(paid2, note[paidV2](&got)))
		defer run(t, app)()
		for _, version := range []string{"v1", "v2"} {
			publishRaw(t, b, broker.Record{
				Topic: "dev.shop.public.payments." + version, Headers: []broker.Header{{Name: "content-type", Value: "application/cloudevents+json"}},
				Value: []byte(`{"specversion":"1.0","id":"1","source":"/x","type":"shop.Paid.` + version + `","tidingstwins":"shop.Paid.v2 shop.Paid.v1","data":{"shop":"a","cents":7,"euros":9}}`),
			})
		}
		pass(time.Second)
		if got := sorted(&got); got != "[v2 {a 7}]" {
			t.Errorf("got %s", got)
		}
	})
}

func TestTwinsOfWhatIsNotOneFactAreRefused(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	app.Emits(paid1, paid2, placed)
	one, two := paid1.New(paidV1{"a", 1}), paid2.New(paidV2{"a", 1})
	for want, twins := range map[string][]tidings.Message{
		"want a message of an older version too":           tidings.Twins(two),
		"shop.Paid.v2 after shop.Paid.v1":                  tidings.Twins(one, two),
		"shop.OrderPlaced.v1 after shop.Paid.v2":           tidings.Twins(two, placed.New(order{"a", 1})),
		"make it with Event.New":                           tidings.Twins(tidings.Message{}, one),
		"key field shop is empty: an event with a key":     tidings.Twins(two, paid1.New(paidV1{})),
		"shop.Paid.v1 after shop.Paid.v1: want versions o": tidings.Twins(one, one),
	} {
		if err := app.Direct().Publish(t.Context(), twins...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if len(one.Extensions) > 0 || one.ID == two.ID {
		t.Error("Twins has changed its arguments")
	}
}
