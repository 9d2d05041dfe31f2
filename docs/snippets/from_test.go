package snippets_test

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
)

// fromWatermill reads what a Watermill publisher writes: a payload of JSON, without an envelope.
var fromWatermill = tidings.Define[OrderPlaced]("orders", "OrderPlaced", "v1", tidings.Topic("orders.OrderPlaced"), tidings.Plain())

func Example_watermill() {
	b := memory.New(memory.Config{})
	app := tidings.New(tidings.Config{Service: "orders", Broker: b, Topology: tidings.Fixed{}})
	app.Emits(fromWatermill)
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "copy"}, tidings.On(fromWatermill, func(ctx context.Context, e OrderPlaced) error {
		m, _ := tidings.MessageFrom(ctx)
		fmt.Println(e.OrderID, m.Headers)
		close(done)
		return nil
	}))
	app.OnStart(func(ctx context.Context) error {
		written := make(chan error, 1)
		b.Publish(ctx, []broker.Record{{
			Topic: "orders.OrderPlaced", Value: []byte(`{"order_id":"o-1","cents":4200}`),
			Headers: []broker.Header{{Name: "_watermill_message_uuid", Value: "0198c0de"}, {Name: "name", Value: "orders.OrderPlaced"}},
		}}, func(_ int, _ broker.Receipt, err error) { written <- err })
		return <-written
	})
	runUntil(app, done)
	// Output: o-1 [{_watermill_message_uuid 0198c0de} {name orders.OrderPlaced}]
}

// created keeps a topic and a type that exist already.
var created = tidings.Define[CustomerCreated]("customer", "CustomerCreated", "v1",
	tidings.Topic("customer-events"), tidings.WireType("customer.created"))

func Example_wiretype() {
	m := created.New(CustomerCreated{CustomerID: "c-1"})
	topic, err := tidings.Fixed{}.PublishTopic("customer", created.Definition())
	fmt.Println(topic, m.Type, m.Key, err)
	// Output: customer-events customer.created c-1 <nil>
}
