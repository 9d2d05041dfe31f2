package order

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/tidings-go/tidings"
)

// What can be asked of this module, by other modules and over HTTP.
var (
	CreateOrder = tidings.DefineRequest[Create, Order]("order", "CreateOrder", "v1")
	ShipParcel  = tidings.DefineRequest[Ship, Order]("order", "ShipParcel", "v1")
	CancelOrder = tidings.DefineRequest[Cancel, Order]("order", "CancelOrder", "v1")
	MoveParcel  = tidings.DefineRequest[Move, Stored]("order", "MoveParcel", "v1")
	FindOrder   = tidings.DefineRequest[Find, Order]("order", "FindOrder", "v1")
)

// Order is an order as it is now.
type Order struct {
	OrderID    string   `json:"order_id"`
	Amount     int64    `json:"amount"`
	CustomerID string   `json:"customer_id"`
	Currency   string   `json:"currency"`
	Items      []string `json:"items"`
	// Shipped is how many of the items are on their way, each in a parcel of its own.
	Shipped int    `json:"shipped"`
	Status  Status `json:"status"`
	// Revision counts what has happened to the order, from 1.
	Revision int64 `json:"revision"`
}

// Status is where an order stands.
type Status string

// An order is open until it is cancelled or all of its items are shipped.
const (
	Open      Status = "open"
	Complete  Status = "shipped"
	Abandoned Status = "cancelled"
)

// Create makes an order. Its id is the customer's choice.
type Create struct {
	OrderID    string   `json:"order_id"`
	Amount     int64    `json:"amount"`
	CustomerID string   `json:"customer_id"`
	Currency   string   `json:"currency"`
	Items      []string `json:"items"`
}

var (
	idPattern       = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)
)

// Validate names all that is wrong.
func (c Create) Validate() error {
	var wrong []error
	if !idPattern.MatchString(c.OrderID) {
		wrong = append(wrong, errors.New("order_id: want 1 to 64 lower-case letters, digits and '-'"))
	}
	if c.Amount < 1 {
		wrong = append(wrong, fmt.Errorf("amount: want hundredths of the currency, 1 or more, not %d", c.Amount))
	}
	if !idPattern.MatchString(c.CustomerID) {
		wrong = append(wrong, errors.New("customer_id: want 1 to 64 lower-case letters, digits and '-'"))
	}
	if !currencyPattern.MatchString(c.Currency) {
		wrong = append(wrong, errors.New("currency: want three capital letters, such as EUR"))
	}
	if len(c.Items) < 1 || len(c.Items) > 100 {
		wrong = append(wrong, fmt.Errorf("items: want 1 to 100, not %d", len(c.Items)))
	}
	return errors.Join(wrong...)
}

// Ship sends the next item of an order.
type Ship struct {
	OrderID string `json:"order_id"`
}

// Cancel cancels an order of which nothing is shipped.
type Cancel struct {
	OrderID string `json:"order_id"`
	Reason  string `json:"reason"`
}

// Move says where an order's latest parcel is.
type Move struct {
	OrderID string `json:"order_id"`
	Place   string `json:"place"`
	// Depot says that the parcel has come to a depot. That is kept; where it is between depots is told to whoever listens now.
	Depot bool `json:"depot"`
}

// Validate wants a place.
func (m Move) Validate() error {
	if strings.TrimSpace(m.Place) == "" {
		return errors.New("place: want a name")
	}
	return nil
}

// Stored is where the broker has stored an event. It is empty for one that was only told to listeners.
type Stored struct {
	Stream    string `json:"stream,omitempty"`
	Partition int    `json:"partition"`
	Sequence  uint64 `json:"sequence,omitempty"`
}

// Find asks for an order.
type Find struct {
	OrderID string `json:"order_id"`
}
