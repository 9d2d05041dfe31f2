// Package reader is the event reader: a service that has no data of its own but what it reads. It keeps a directory of customers and products, with all that has happened to
// them, in its own database. It runs in as many replicas as are started; each event takes effect in one of them, once, and in order per customer and product.
package reader

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/store"
)

// FindEntry asks what is known of a customer or a product.
var FindEntry = tidings.DefineRequest[Find, Entry]("reader", "FindEntry", "v1")

// Find names the customer or product.
type Find struct {
	ID uuid.UUID `json:"id"`
}

// Entry is what is known of a customer or a product.
type Entry struct {
	ID uuid.UUID `json:"id"`
	// Name is empty when it is gone.
	Name  string   `json:"name,omitempty"`
	Views int64    `json:"views"`
	Steps []string `json:"steps"`
}

// Config says what the reader reads and where it writes.
type Config struct {
	// Customers and Products are the topics of the two contracts.
	Customers, Products string
	// Directory is what the handlers change. Default: the tables in DB.
	Directory Directory
	// DB is the database of the app's store.
	DB *sql.DB
}

// Add makes an app a reader.
func Add(app *tidings.App, cfg Config) {
	d := cfg.Directory
	if d == nil {
		d = tables{}
	}
	// The topics are named, since a reader of Any says what it reads.
	app.Subscribe(tidings.Subscription{Name: "customers", Topics: []string{cfg.Customers}},
		handle(customer.CustomerCreated, CustomerCreated{d}),
		handle(customer.CustomerUpdated, CustomerUpdated{d}),
		handle(customer.CustomerDeleted, CustomerDeleted{d}),
		tidings.On(tidings.Any(), foreign(customer.Decode)))
	app.Subscribe(tidings.Subscription{Name: "products", Topics: []string{cfg.Products}},
		handle(product.ProductCreated, ProductCreated{d}),
		handle(product.ProductUpdated, ProductUpdated{d}),
		handle(product.ProductDeleted, ProductDeleted{d}),
		handle(product.ProductViewed, ProductViewed{d}),
		tidings.On(tidings.Any(), foreign(product.Decode)))
	app.Serve(tidings.Serve(FindEntry, func(ctx context.Context, f Find) (Entry, error) { return find(ctx, cfg.DB, f.ID) }))
}

// handler is what all handlers are.
type handler[T any] interface {
	Handle(ctx context.Context, tx *store.SQLTx, payload T) error
}

// handle gives an event to its handler, in a transaction. One that can't be right is a dead letter: acknowledged, and kept for people to look at.
func handle[T tidings.Validator](event *tidings.Event[T], h handler[T]) tidings.Reaction {
	return tidings.OnTx(event, func(ctx context.Context, tx *store.SQLTx, payload T) error {
		if err := payload.Validate(); err != nil {
			return tidings.DeadLetter(fmt.Errorf("reader: %s: %w", event.Definition().Type(), err))
		}
		return h.Handle(ctx, tx, payload)
	})
}

// foreign gets what no handler is for. The contract's decoder says what is wrong with it. One of the contract that is newer than this program waits among the
// dead letters too, until a newer one retries them.
func foreign(decode func(m tidings.Message) (any, error)) func(ctx context.Context, payload tidings.Raw) error {
	return func(ctx context.Context, _ tidings.Raw) error {
		m, _ := tidings.MessageFrom(ctx)
		_, err := decode(m)
		if err == nil {
			err = fmt.Errorf("reader: no handler for type %q", m.Type)
		}
		return tidings.DeadLetter(err)
	}
}
