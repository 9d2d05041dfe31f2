package order

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/store"
)

// handler is a command's, as it is.
type handler[C any] func(ctx context.Context, tx *store.SQLTx, cmd C) (Order, tidings.Events, error)

// give calls a handler in a transaction, and returns the order and the events in short.
func give[C any](t *testing.T, app *tidings.App, handle handler[C], cmd C) string {
	t.Helper()
	var result []string
	err := tidings.InTx(t.Context(), app, func(ctx context.Context, tx *store.SQLTx) error {
		o, events, err := handle(ctx, tx, cmd)
		if err != nil {
			return err
		}
		result = append(result, fmt.Sprintf("%s %d/%d r%d", o.Status, o.Shipped, len(o.Items), o.Revision))
		for _, e := range events {
			result = append(result, fmt.Sprintf("%s %s %s", e.Type, e.Key, e.Data))
		}
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return strings.Join(result, "\n")
}

func TestAnOrdersLife(t *testing.T) {
	s := trial.Store(t, Schema)
	app := tidings.New(tidings.Config{Service: "delivery", Broker: memory.New(memory.Config{}), Store: s})
	o := &orders{db: s.DB()}
	tea := Create{OrderID: "tea", Amount: 4200, CustomerID: "ada", Currency: "USD", Items: []string{"pot", "cup"}}
	mug := Create{OrderID: "mug", Amount: 900, CustomerID: "bo", Currency: "EUR", Items: []string{"mug"}}
	for i, step := range []struct{ got, want string }{
		{give(t, app, o.create, tea), `open 0/2 r1
order.OrderCreated.v1 tea {"order_id":"tea","amount":4200}
order.OrderCreated.v2 tea {"order_id":"tea","amount":4200,"customer_id":"ada","currency":"USD","items":["pot","cup"]}`},
		{give(t, app, o.create, tea), `order tea exists already: conflict`},
		{give(t, app, o.ship, Ship{"tea"}), `open 1/2 r2
order.OrderShipped.v1 tea {"order_id":"tea","parcel":1,"revision":2}`},
		{give(t, app, o.cancel, Cancel{OrderID: "tea"}), `order tea is open, and 1 of its 2 items are shipped: conflict`},
		{give(t, app, o.ship, Ship{"tea"}), `shipped 2/2 r3
order.OrderShipped.v1 tea {"order_id":"tea","parcel":2,"revision":3}`},
		{give(t, app, o.ship, Ship{"tea"}), `order tea is shipped, and 2 of its 2 items are shipped: conflict`},
		{give(t, app, o.ship, Ship{"pot"}), `there is no order "pot": not-found`},
		{give(t, app, o.create, mug), `open 0/1 r1
order.OrderCreated.v1 mug {"order_id":"mug","amount":900}
order.OrderCreated.v2 mug {"order_id":"mug","amount":900,"customer_id":"bo","currency":"EUR","items":["mug"]}`},
		{give(t, app, o.cancel, Cancel{"mug", "broken"}), `cancelled 0/1 r2
order.OrderCancelled.v1 mug {"order_id":"mug","reason":"broken","revision":2}`},
		{give(t, app, o.ship, Ship{"mug"}), `order mug is cancelled, and 0 of its 1 items are shipped: conflict`},
	} {
		if step.got != step.want {
			t.Errorf("step %d: got\n%s\nwant\n%s", i, step.got, step.want)
		}
	}
}

func TestRequestsNameAllThatIsWrong(t *testing.T) {
	err := Create{OrderID: "Tea!", Amount: 0, CustomerID: "", Currency: "euro"}.Validate()
	for _, field := range []string{"order_id", "amount", "customer_id", "currency", "items"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("nothing about %s: %v", field, err)
		}
	}
	if err = (Move{OrderID: "tea", Place: " "}).Validate(); err == nil {
		t.Error("a parcel was moved nowhere")
	}
}

func TestOrdersOfVersion1WereInEuros(t *testing.T) {
	got, err := OrderCreatedV2.In(OrderCreatedV1.New(CreatedV1{OrderID: "old", Amount: 5}))
	if err != nil || got.OrderID != "old" || got.Amount != 5 || got.Currency != "EUR" || got.CustomerID != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}
