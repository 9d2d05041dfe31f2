package order

import "github.com/tidings-go/tidings"

// The events of orders. They share a topic, whose name has no version, so that all of one order stay in order: whatever becomes of their versions.
var (
	// OrderCreatedV1 is published beside v2 for those who read no more than id and amount, for as long as there are any.
	OrderCreatedV1 = tidings.Define[CreatedV1]("order", "OrderCreated", "v1", tidings.TopicVersion(""))
	// OrderCreatedV2 is what to read. Who reacts to it also gets the orders that were created before there was a v2.
	OrderCreatedV2 = tidings.Evolve(OrderCreatedV1, "v2", fromV1)
	OrderShipped   = tidings.Define[Shipped]("order", "OrderShipped", "v1", tidings.TopicVersion(""))
	OrderCancelled = tidings.Define[Cancelled]("order", "OrderCancelled", "v1", tidings.TopicVersion(""))
	// OrderMoved is internal: where a parcel is now is nobody's business but this service's.
	OrderMoved = tidings.Define[Moved]("order", "OrderMoved", "v1", tidings.Internal)
)

// CreatedV1 says that there is an order. Orders were anonymous then, and all in euros.
type CreatedV1 struct {
	OrderID string `json:"order_id" tidings:"key"`
	// Amount is in cents.
	Amount int64 `json:"amount"`
}

// CreatedV2 says that there is an order. It is the order's revision 1.
type CreatedV2 struct {
	OrderID string `json:"order_id" tidings:"key"`
	// Amount is in hundredths of the currency.
	Amount     int64    `json:"amount"`
	CustomerID string   `json:"customer_id"`
	Currency   string   `json:"currency"`
	Items      []string `json:"items"`
}

func fromV1(old CreatedV1) (CreatedV2, error) {
	return CreatedV2{OrderID: old.OrderID, Amount: old.Amount, Currency: "EUR"}, nil
}

// Shipped says that a parcel with the order's next item is on its way.
type Shipped struct {
	OrderID string `json:"order_id" tidings:"key"`
	// Parcel counts the order's parcels from 1.
	Parcel int `json:"parcel"`
	// Revision counts what has happened to the order, from 1. So whoever reads the events can tell whether any is missing, doubled or out of order.
	Revision int64 `json:"revision"`
}

// Cancelled says that an order of which nothing was shipped will not be.
type Cancelled struct {
	OrderID  string `json:"order_id" tidings:"key"`
	Reason   string `json:"reason"`
	Revision int64  `json:"revision"`
}

// Moved says where the order's latest parcel is.
type Moved struct {
	OrderID string `json:"order_id" tidings:"key"`
	Place   string `json:"place"`
}
