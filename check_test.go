package tidings_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// Every conflict is reported, all at once, each with the place that has to change.
func TestCheckReportsEveryConflictAtOnce(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, order) error { return nil }
	raw := func(context.Context, tidings.Raw) error { return nil }
	again := tidings.Define[order]("shop", "OrderPlaced", "v1")
	foreign := tidings.Define[order]("billing", "Billed", "v1")
	secret := tidings.Define[order]("billing", "Secret", "v1", tidings.Internal)
	sameType := tidings.Define[order]("shop", "OrderMoved", "v1", tidings.WireType("shop.OrderPlaced.v1"))
	almost := tidings.Define[order]("shop", "OrderLost", "v1", tidings.Topic("Order"))

	app := newApp(t, func(c *tidings.Config) { c.Topics = []broker.Topic{{Name: "theirs", External: true}, {Name: "a b"}} })
	app.Emits(placed, again, foreign, sameType, almost, tidings.Any())
	app.Subscribe(tidings.Subscription{Name: "dup"}, tidings.On(placed, nothing), tidings.On(placed, nothing))
	app.Subscribe(tidings.Subscription{Name: "dup"}, tidings.On(shipped, nothing))
	app.Subscribe(tidings.Subscription{Name: "Bad Name"}, tidings.On(placed, nothing))
	app.Subscribe(tidings.Subscription{Name: "empty"})
	app.Subscribe(tidings.Subscription{Name: "spy"}, tidings.On(secret, nothing))
	app.Subscribe(tidings.Subscription{Name: "any"}, tidings.On(tidings.Any(), raw))
	app.Subscribe(tidings.Subscription{Name: "wrong-tx"}, tidings.OnTx(placed, func(context.Context, *store.SQLTx, order) error { return nil }))
	app.AddModule("one", "two")
	app.AddModule("two", "three")
	app.AddModule("three", "one")
	app.AddModule("one")
	app.AddModule("lonely", "nowhere")

	err := app.Check(t.Context())
	if err == nil {
		t.Fatal("Check found nothing")
	}
	for _, want := range []string{
		"event shop.OrderPlaced.v1 is defined here and at",
		`domain "billing" belongs to nobody here: add it to Config.Owns`,
		`have the same wire type "shop.OrderPlaced.v1"`,
		"differ only in case, separators or plural",
		"Any and Every can't be emitted",
		"reacts to shop.OrderPlaced.v1 twice",
		`subscription "dup" exists already`,
		`subscription name "Bad Name"`,
		`subscription "empty" has no reactions`,
		`internal to domain "billing" of another service`,
		"name what it reads in Subscription.Topics",
		"OnTx asks for a *store.SQLTx, and the transactions of this store are *memory.Tx",
		"in a circle: one → two → three → one",
		`module "one" exists already`,
		`module "lonely" depends on "nowhere", which does not exist: lonely → nowhere`,
		`external topic "theirs" does not exist`,
		`topic "a b"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
	if run := app.Run(t.Context()); run == nil || run.Error() != err.Error() {
		t.Errorf("Run must refuse what Check refuses: %v", run)
	}
}

func TestCheckWarnsWhereOrderIsPerTopic(t *testing.T) {
	t.Parallel()
	other := tidings.Define[order]("shop", "Refunded", "v1", tidings.Entity("refund"))
	nothing := func(context.Context, order) error { return nil }
	build := func(topology tidings.Topology) *tidings.App {
		app := newApp(t, func(c *tidings.Config) { c.Topology = topology })
		app.Emits(placed, other)
		app.Subscribe(tidings.Subscription{Name: "both"}, tidings.On(placed, nothing), tidings.On(other, nothing))
		return app
	}
	scoped := build(tidings.Scoped{})
	if err := scoped.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	problems := scoped.Problems(t.Context())
	if len(problems) != 1 || problems[0].Severity != tidings.Doubtful || !strings.Contains(problems[0].Text, "in order within each, not between") {
		t.Errorf("problems %v", problems)
	}
	// Under Shared both are published to one topic, which the subscription reads.
	if problems := build(tidings.Shared{}).Problems(t.Context()); len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
}

func TestCheckNeedsAServiceAndABroker(t *testing.T) {
	t.Parallel()
	err := tidings.New(tidings.Config{NoRelay: true}).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Config.Service") || !strings.Contains(err.Error(), "Config.Broker") || !strings.Contains(err.Error(), "Config.NoRelay") {
		t.Errorf("Check = %v", err)
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	app := newApp(t, func(c *tidings.Config) { c.Topology = tidings.Shared{} })
	stock := app.AddModule("stock")
	counted := tidings.Define[order]("stock", "Counted", "v1", tidings.Internal)
	stock.Emits(counted)
	app.Emits(placed, tidings.Define[order]("shop", "OrderPlaced", "v2"))
	stock.Subscribe(tidings.Subscription{Name: "reserve"}, tidings.On(tidings.Named("shop", "OrderPlaced", "v1"), func(context.Context, tidings.Raw) error { return nil }))
	c := app.Catalog()
	if n := len(c.All()); n != 3 {
		t.Errorf("%d events, want 3: %v", n, c.All())
	}
	e, ok := c.Event("shop", "OrderPlaced", "v1")
	if !ok || e.Owner != "shop" || e.PublishTopic != "events" || e.ReadTopic != "events.OrderPlaced" ||
		len(e.Subscriptions) != 1 || e.Subscriptions[0] != "shop.reserve" || len(e.Key) != 1 {
		t.Errorf("entry %+v", e)
	}
	if events := c.Events("stock"); len(events) != 1 || !events[0].IsInternal() || events[0].Owner != "stock" {
		t.Errorf("events of stock: %+v", events)
	}
	if _, ok := c.Event("shop", "OrderPlaced", "v3"); ok {
		t.Error("found an event that does not exist")
	}
}
