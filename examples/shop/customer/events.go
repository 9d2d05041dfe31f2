package customer

import (
	"errors"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/shop/contract"
)

// Topic carries every event of the contract, keyed by the customer's id: so all that happens to one customer is in order, whatever its type.
const Topic = "customer-events"

// Type is the type of an event on the wire. These names were there before tidings, and others rely on them.
type Type string

// The types of the contract.
const (
	TypeCreated Type = "customer.created"
	TypeUpdated Type = "customer.updated"
	TypeDeleted Type = "customer.deleted"
)

// The events of customers. They belong to the domain "customer".
var (
	CustomerCreated = tidings.Define[Created](Domain, "CustomerCreated", "v1", tidings.Topic(Topic), tidings.WireType(string(TypeCreated)))
	CustomerUpdated = tidings.Define[Updated](Domain, "CustomerUpdated", "v1", tidings.Topic(Topic), tidings.WireType(string(TypeUpdated)))
	CustomerDeleted = tidings.Define[Deleted](Domain, "CustomerDeleted", "v1", tidings.Topic(Topic), tidings.WireType(string(TypeDeleted)))
)

// Created says that there is a customer. It is the customer's revision 1.
type Created struct {
	CustomerID uuid.UUID `json:"customer_id" tidings:"key"`
	Details
}

// Updated says what a customer's details are now.
type Updated struct {
	CustomerID uuid.UUID `json:"customer_id" tidings:"key"`
	// Revision counts what has happened to the customer, from 1. So whoever reads the events can tell whether any is missing, doubled or out of order.
	Revision int64 `json:"revision"`
	Details
}

// Deleted says that a customer is gone.
type Deleted struct {
	CustomerID uuid.UUID `json:"customer_id" tidings:"key"`
	Revision   int64     `json:"revision"`
}

// Validate refuses what no customer service would have published.
func (e Created) Validate() error {
	return errors.Join(contract.WantID("customer_id", e.CustomerID), e.Details.Validate())
}

// Validate refuses what no customer service would have published.
func (e Updated) Validate() error {
	return errors.Join(contract.WantID("customer_id", e.CustomerID), contract.WantLater(e.Revision), e.Details.Validate())
}

// Validate refuses what no customer service would have published.
func (e Deleted) Validate() error {
	return errors.Join(contract.WantID("customer_id", e.CustomerID), contract.WantLater(e.Revision))
}

// NewCreated makes the message for a new customer. Its id, like that of the other messages, is a new UUID.
func NewCreated(c Customer) tidings.Message {
	return CustomerCreated.New(Created{CustomerID: c.CustomerID, Details: c.Details})
}

// NewUpdated makes the message for a customer whose details have changed.
func NewUpdated(c Customer) tidings.Message {
	return CustomerUpdated.New(Updated{CustomerID: c.CustomerID, Revision: c.Revision, Details: c.Details})
}

// NewDeleted makes the message for a customer who is gone.
func NewDeleted(c Customer) tidings.Message {
	return CustomerDeleted.New(Deleted{CustomerID: c.CustomerID, Revision: c.Revision})
}

// Decode reads any message of the contract: a [Created], an [Updated] or a [Deleted]. It refuses foreign types, and what can't be right.
func Decode(m tidings.Message) (any, error) {
	switch Type(m.Type) {
	case TypeCreated:
		return contract.Read(CustomerCreated, m)
	case TypeUpdated:
		return contract.Read(CustomerUpdated, m)
	case TypeDeleted:
		return contract.Read(CustomerDeleted, m)
	default:
		return nil, contract.Foreign(m, TypeCreated, TypeUpdated, TypeDeleted)
	}
}
