package product

import (
	"errors"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/shop/contract"
)

// Topic carries every event of the contract, keyed by the product's id: so all that happens to one product is in order, whatever its type.
const Topic = "product-events"

// Type is the type of an event on the wire. These names were there before tidings, and others rely on them.
type Type string

// The types of the contract.
const (
	TypeCreated Type = "product.created"
	TypeUpdated Type = "product.updated"
	TypeDeleted Type = "product.deleted"
	TypeViewed  Type = "product.viewed"
)

// The events of products. They belong to the domain "product".
var (
	ProductCreated = tidings.Define[Created](Domain, "ProductCreated", "v1", tidings.Topic(Topic), tidings.WireType(string(TypeCreated)))
	ProductUpdated = tidings.Define[Updated](Domain, "ProductUpdated", "v1", tidings.Topic(Topic), tidings.WireType(string(TypeUpdated)))
	ProductDeleted = tidings.Define[Deleted](Domain, "ProductDeleted", "v1", tidings.Topic(Topic), tidings.WireType(string(TypeDeleted)))
	// ProductViewed is published directly: no row changes with it, and a view that is lost when the process dies is no loss.
	ProductViewed = tidings.Define[Viewed](Domain, "ProductViewed", "v1", tidings.Topic(Topic), tidings.WireType(string(TypeViewed)))
)

// Created says that there is a product. It is the product's revision 1.
type Created struct {
	ProductID uuid.UUID `json:"product_id" tidings:"key"`
	Details
}

// Updated says what a product's details are now.
type Updated struct {
	ProductID uuid.UUID `json:"product_id" tidings:"key"`
	// Revision counts what has happened to the product, from 1; views don't count.
	Revision int64 `json:"revision"`
	Details
}

// Deleted says that a product is not sold any more.
type Deleted struct {
	ProductID uuid.UUID `json:"product_id" tidings:"key"`
	Revision  int64     `json:"revision"`
}

// Viewed says that somebody has looked at a product.
type Viewed struct {
	ProductID uuid.UUID `json:"product_id" tidings:"key"`
}

// Validate refuses what no product service would have published.
func (e Created) Validate() error {
	return errors.Join(contract.WantID("product_id", e.ProductID), e.Details.Validate())
}

// Validate refuses what no product service would have published.
func (e Updated) Validate() error {
	return errors.Join(contract.WantID("product_id", e.ProductID), contract.WantLater(e.Revision), e.Details.Validate())
}

// Validate refuses what no product service would have published.
func (e Deleted) Validate() error {
	return errors.Join(contract.WantID("product_id", e.ProductID), contract.WantLater(e.Revision))
}

// Validate refuses what no product service would have published.
func (e Viewed) Validate() error { return contract.WantID("product_id", e.ProductID) }

// NewCreated makes the message for a new product. Its id, like that of the other messages, is a new UUID.
func NewCreated(p Product) tidings.Message {
	return ProductCreated.New(Created{ProductID: p.ProductID, Details: p.Details})
}

// NewUpdated makes the message for a product whose details have changed.
func NewUpdated(p Product) tidings.Message {
	return ProductUpdated.New(Updated{ProductID: p.ProductID, Revision: p.Revision, Details: p.Details})
}

// NewDeleted makes the message for a product that is gone.
func NewDeleted(p Product) tidings.Message {
	return ProductDeleted.New(Deleted{ProductID: p.ProductID, Revision: p.Revision})
}

// Decode reads any message of the contract: a [Created], an [Updated], a [Deleted] or a [Viewed]. It refuses foreign types, and what can't be right.
func Decode(m tidings.Message) (any, error) {
	switch Type(m.Type) {
	case TypeCreated:
		return contract.Read(ProductCreated, m)
	case TypeUpdated:
		return contract.Read(ProductUpdated, m)
	case TypeDeleted:
		return contract.Read(ProductDeleted, m)
	case TypeViewed:
		return contract.Read(ProductViewed, m)
	default:
		return nil, contract.Foreign(m, TypeCreated, TypeUpdated, TypeDeleted, TypeViewed)
	}
}
