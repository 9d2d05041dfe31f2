package reader

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/store"
)

// Directory is what handlers change, in the transaction in which their message is handled.
type Directory interface {
	// Note takes the next step in the life of a customer or a product.
	Note(ctx context.Context, tx *store.SQLTx, s Step) error
	// CountView counts a view of a product.
	CountView(ctx context.Context, tx *store.SQLTx, product uuid.UUID) error
}

// Step is something that has happened to a customer or a product.
type Step struct {
	ID       uuid.UUID
	Revision int64
	// Type is that of the event.
	Type string
	// Name is empty when it is gone.
	Name string
	// Text is for people.
	Text string
}

// A handler per event. Each is a struct with what it needs, and a method that is called with the payload, so a test needs neither broker nor database.

// CustomerCreated handles customer.created.
type CustomerCreated struct{ Directory Directory }

// Handle adds the customer.
func (h CustomerCreated) Handle(ctx context.Context, tx *store.SQLTx, e customer.Created) error {
	return h.Directory.Note(ctx, tx, Step{e.CustomerID, 1, string(customer.TypeCreated), e.Name, fmt.Sprintf("%s is here, with %d addresses", e.Email, len(e.Addresses))})
}

// CustomerUpdated handles customer.updated.
type CustomerUpdated struct{ Directory Directory }

// Handle renames the customer.
func (h CustomerUpdated) Handle(ctx context.Context, tx *store.SQLTx, e customer.Updated) error {
	return h.Directory.Note(ctx, tx, Step{e.CustomerID, e.Revision, string(customer.TypeUpdated), e.Name, fmt.Sprintf("is %s, with %d addresses", e.Email, len(e.Addresses))})
}

// CustomerDeleted handles customer.deleted.
type CustomerDeleted struct{ Directory Directory }

// Handle forgets the customer's name.
func (h CustomerDeleted) Handle(ctx context.Context, tx *store.SQLTx, e customer.Deleted) error {
	return h.Directory.Note(ctx, tx, Step{e.CustomerID, e.Revision, string(customer.TypeDeleted), "", "is gone"})
}

// ProductCreated handles product.created.
type ProductCreated struct{ Directory Directory }

// Handle adds the product.
func (h ProductCreated) Handle(ctx context.Context, tx *store.SQLTx, e product.Created) error {
	return h.Directory.Note(ctx, tx, Step{e.ProductID, 1, string(product.TypeCreated), e.Name, "is here, for " + money(e.Price)})
}

// ProductUpdated handles product.updated.
type ProductUpdated struct{ Directory Directory }

// Handle renames the product.
func (h ProductUpdated) Handle(ctx context.Context, tx *store.SQLTx, e product.Updated) error {
	return h.Directory.Note(ctx, tx, Step{e.ProductID, e.Revision, string(product.TypeUpdated), e.Name, "costs " + money(e.Price)})
}

// ProductDeleted handles product.deleted.
type ProductDeleted struct{ Directory Directory }

// Handle forgets the product's name.
func (h ProductDeleted) Handle(ctx context.Context, tx *store.SQLTx, e product.Deleted) error {
	return h.Directory.Note(ctx, tx, Step{e.ProductID, e.Revision, string(product.TypeDeleted), "", "is gone"})
}

// ProductViewed handles product.viewed.
type ProductViewed struct{ Directory Directory }

// Handle counts the view. It may come before the product does: views are published at once, and the rest goes through an outbox.
func (h ProductViewed) Handle(ctx context.Context, tx *store.SQLTx, e product.Viewed) error {
	return h.Directory.CountView(ctx, tx, e.ProductID)
}

func money(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }
