// Package product is the product service: it owns the products, in a database of its own, and the contract on the topic "product-events". Other services know it by that
// contract only (events.go), and clients by its requests.
package product

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/shop/contract"
	"github.com/tidings-go/tidings/store"
)

// Schema makes the service's table. A deleted product's row stays: the id is taken, and its revision counts on.
const Schema = `CREATE TABLE IF NOT EXISTS products (
	id       TEXT    PRIMARY KEY,
	name     TEXT    NOT NULL,
	price    BIGINT  NOT NULL,
	revision BIGINT  NOT NULL,
	deleted  BOOLEAN NOT NULL
)`

type products struct {
	app *tidings.App
	db  *sql.DB
}

// Add makes an app the product service. Its table is in db, which is the database of the app's store.
func Add(app *tidings.App, db *sql.DB) {
	p := &products{app: app, db: db}
	app.Emits(ProductCreated, ProductUpdated, ProductDeleted, ProductViewed)
	app.Serve(
		tidings.HandleTx(CreateProduct, p.create),
		tidings.HandleTx(UpdateProduct, p.update),
		tidings.HandleTx(DeleteProduct, p.delete),
		tidings.Serve(FindProduct, func(ctx context.Context, f Find) (Product, error) { return p.find(ctx, f.ProductID) }),
		tidings.Serve(ViewProduct, p.view),
	)
}

// The commands return their events, and tidings publishes them in the same transaction: the shorter way, where no repository has to.

func (p *products) create(ctx context.Context, tx *store.SQLTx, cmd Create) (Product, tidings.Events, error) {
	made := Product{ProductID: cmd.ProductID, Details: cmd.Details}
	if made.ProductID == uuid.Nil {
		var err error
		if made.ProductID, err = uuid.NewV7(); err != nil {
			return made, nil, err
		}
	}
	err := tx.QueryRowContext(ctx, `INSERT INTO products (id, name, price, revision, deleted) VALUES ($1, $2, $3, 1, $4) ON CONFLICT (id) DO NOTHING RETURNING revision`,
		made.ProductID, made.Name, made.Price, false).Scan(&made.Revision)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return made, nil, fmt.Errorf("product %s exists already: %w", made.ProductID, tidings.CodeConflict)
	case err != nil:
		return made, nil, fmt.Errorf("product: insert %s: %w", made.ProductID, err)
	}
	return made, tidings.Events{NewCreated(made)}, nil
}

func (p *products) update(ctx context.Context, tx *store.SQLTx, cmd Update) (Product, tidings.Events, error) {
	changed := Product{ProductID: cmd.ProductID, Details: cmd.Details}
	if err := change(ctx, tx, &changed); err != nil {
		return changed, nil, err
	}
	return changed, tidings.Events{NewUpdated(changed)}, nil
}

func (p *products) delete(ctx context.Context, tx *store.SQLTx, cmd Delete) (Product, tidings.Events, error) {
	gone := Product{ProductID: cmd.ProductID, Deleted: true}
	if err := change(ctx, tx, &gone); err != nil {
		return gone, nil, err
	}
	return gone, tidings.Events{NewDeleted(gone)}, nil
}

// change updates the row of a product that is there, and sets the new revision. The row stays locked until the commit, so that the events of a product have the
// order of its revisions.
func change(ctx context.Context, tx *store.SQLTx, p *Product) error {
	err := tx.QueryRowContext(ctx, `UPDATE products SET name = $2, price = $3, deleted = $4, revision = revision + 1 WHERE id = $1 AND NOT deleted RETURNING revision`,
		p.ProductID, p.Name, p.Price, p.Deleted).Scan(&p.Revision)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound(p.ProductID)
	}
	if err != nil {
		return fmt.Errorf("product: change %s: %w", p.ProductID, err)
	}
	return nil
}

// view counts a view by telling of it: directly, without a transaction, since there is nothing that it would have to be true together with.
func (p *products) view(ctx context.Context, v View) (contract.Stored, error) {
	if _, err := p.find(ctx, v.ProductID); err != nil {
		return contract.Stored{}, err
	}
	receipts, err := p.app.Direct().Send(ctx, ProductViewed.New(Viewed(v)))
	if err != nil {
		return contract.Stored{}, err
	}
	return contract.Stored(receipts[0]), nil
}

func (p *products) find(ctx context.Context, id uuid.UUID) (Product, error) {
	found := Product{ProductID: id}
	err := p.db.QueryRowContext(ctx, `SELECT name, price, revision FROM products WHERE id = $1 AND NOT deleted`, id).Scan(&found.Name, &found.Price, &found.Revision)
	if errors.Is(err, sql.ErrNoRows) {
		return found, notFound(id)
	}
	if err != nil {
		return found, fmt.Errorf("product: find %s: %w", id, err)
	}
	return found, nil
}

func notFound(id uuid.UUID) error {
	return fmt.Errorf("there is no product %s: %w", id, tidings.CodeNotFound)
}
