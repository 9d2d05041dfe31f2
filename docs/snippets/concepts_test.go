package snippets_test

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// OrderPlaced is published when a customer has placed an order.
type OrderPlaced struct {
	OrderID string `json:"order_id" tidings:"key"`
	Cents   int    `json:"cents"`
}

// OrderPacked is published when an order was packed.
type OrderPacked struct {
	OrderID string `json:"order_id" tidings:"key"`
}

var (
	placed = tidings.Define[OrderPlaced]("shop", "OrderPlaced", "v1", tidings.Entity("order"))
	packed = tidings.Define[OrderPacked]("shop", "OrderPacked", "v1", tidings.Entity("order"))
)

// publish shows the three publishers.
func publish(ctx context.Context, app *tidings.App, order OrderPlaced) error {
	// In a transaction: sent if it commits, and only then.
	err := tidings.InTx(ctx, app, func(ctx context.Context, tx *memorystore.Tx) error {
		return placed.Publish(ctx, app.Outbox(tx), order)
	})
	if err != nil {
		return err
	}
	// Now, waiting until the broker has stored it.
	if err := placed.Publish(ctx, app.Direct(), order); err != nil {
		return err
	}
	// To whoever listens now. Nothing is stored.
	return placed.Publish(ctx, app.Live(), order)
}

func Example_concepts() {
	app := newApp("shop")
	app.Emits(placed, packed)
	seen, heard := make(chan string, 3), make(chan string, 3)
	app.Subscribe(tidings.Subscription{Name: "mailer"}, tidings.On(placed, func(_ context.Context, e OrderPlaced) error {
		seen <- "durable " + e.OrderID
		return nil
	}))
	app.Listen(tidings.Listener{}, tidings.On(placed, func(_ context.Context, e OrderPlaced) error {
		heard <- "heard " + e.OrderID
		return nil
	}))
	app.OnStart(func(ctx context.Context) error { return publish(ctx, app, OrderPlaced{OrderID: "o-1", Cents: 4200}) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		fmt.Println(<-seen, <-seen) // the live one is not stored, so no subscription sees it
		fmt.Println(<-heard, <-heard, <-heard)
	}()
	runUntil(app, done)
	// Output:
	// durable o-1 durable o-1
	// heard o-1 heard o-1 heard o-1
}
