package snippets_test

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// OrderPlacedV2 says in which currency.
type OrderPlacedV2 struct {
	OrderID  string `json:"order_id" tidings:"key"`
	Cents    int    `json:"cents"`
	Currency string `json:"currency"`
}

// placed2 is made of placed: version 1 was always in euros.
var placed2 = tidings.Evolve(placed, "v2", func(old OrderPlaced) (OrderPlacedV2, error) {
	return OrderPlacedV2{OrderID: old.OrderID, Cents: old.Cents, Currency: "EUR"}, nil
})

// tell publishes one fact in both versions, while readers of version 1 live.
func tell(ctx context.Context, to tidings.Publisher, order OrderPlacedV2) error {
	return to.Publish(ctx, tidings.Twins(
		placed2.New(order),
		placed.New(OrderPlaced{OrderID: order.OrderID, Cents: order.Cents}),
	)...)
}

func Example_versions() {
	app := newApp("shop")
	app.Emits(placed, placed2)
	totals, done := make(chan string, 2), make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "totals"}, tidings.On(placed2, func(_ context.Context, e OrderPlacedV2) error {
		totals <- fmt.Sprint(e.OrderID, " ", e.Cents, " ", e.Currency)
		return nil
	}))
	app.OnStart(func(ctx context.Context) error {
		if err := placed.Publish(ctx, app.Direct(), OrderPlaced{OrderID: "o-1", Cents: 100}); err != nil {
			return err
		}
		return tidings.InTx(ctx, app, func(ctx context.Context, tx *memorystore.Tx) error {
			return tell(ctx, app.Outbox(tx), OrderPlacedV2{OrderID: "o-2", Cents: 200, Currency: "SEK"})
		})
	})
	go func() {
		defer close(done)
		fmt.Println(<-totals)
		fmt.Println(<-totals)
	}()
	runUntil(app, done)
	// Unordered output:
	// o-1 100 EUR
	// o-2 200 SEK
}

// customers is a topic of a system that knows nothing of tidings: bare JSON, keyed by the customer's id.
var customers = tidings.Define[CustomerCreated]("crm", "CustomerCreated", "v1", tidings.Topic("customer-events"), tidings.Plain())

// CustomerCreated is what that system writes.
type CustomerCreated struct {
	CustomerID string `json:"customer_id" tidings:"key"`
}

func Example_plain() {
	app := tidings.New(tidings.Config{Service: "crm", Broker: newApp("x").Broker(), Topology: tidings.Fixed{}})
	app.Emits(customers)
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "copy"}, tidings.On(customers, func(ctx context.Context, e CustomerCreated) error {
		m, _ := tidings.MessageFrom(ctx)
		fmt.Println(e.CustomerID, m.Type)
		close(done)
		return nil
	}))
	app.OnStart(func(ctx context.Context) error {
		return customers.Publish(ctx, app.Direct(), CustomerCreated{CustomerID: "c-1"})
	})
	runUntil(app, done)
	// Output: c-1 crm.CustomerCreated.v1
}
