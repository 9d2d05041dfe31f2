// Package customer is the customer service: it owns the customers, in a database of its own, and the contract on the topic "customer-events". Other services know it by
// that contract only (events.go), and clients by its requests.
package customer

import (
	"context"
	"database/sql"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// Add makes an app the customer service. Its tables are in db, which is the database of the app's store.
func Add(app *tidings.App, db *sql.DB) {
	app.Emits(CustomerCreated, CustomerUpdated, CustomerDeleted)
	r := Repository{Events: func(tx *store.SQLTx) tidings.Publisher { return app.Outbox(tx) }}
	app.Serve(
		tidings.HandleTx(CreateCustomer, r.create),
		tidings.HandleTx(UpdateCustomer, r.update),
		tidings.HandleTx(DeleteCustomer, r.delete),
		tidings.Serve(FindCustomer, func(ctx context.Context, f Find) (Customer, error) { return find(ctx, db, f.CustomerID) }),
	)
}

// New makes a customer, with a new id unless it has one.
func New(id uuid.UUID, d Details) (Customer, error) {
	var err error
	if id == uuid.Nil {
		id, err = uuid.NewV7()
	}
	return Customer{CustomerID: id, Details: d, Revision: 1}, err
}

// The commands. The repository publishes, so none of them has an event to return.

func (r Repository) create(ctx context.Context, tx *store.SQLTx, cmd Create) (Customer, tidings.Events, error) {
	c, err := New(cmd.CustomerID, cmd.Details)
	if err == nil {
		err = r.Insert(ctx, tx, c)
	}
	return c, nil, err
}

func (r Repository) update(ctx context.Context, tx *store.SQLTx, cmd Update) (Customer, tidings.Events, error) {
	c, err := r.Update(ctx, tx, cmd.CustomerID, cmd.Details)
	return c, nil, err
}

func (r Repository) delete(ctx context.Context, tx *store.SQLTx, cmd Delete) (Customer, tidings.Events, error) {
	c, err := r.Delete(ctx, tx, cmd.CustomerID)
	return c, nil, err
}
