package customer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// Schema makes the service's tables. A deleted customer's row stays, without its details: the id is taken, and its revision counts on.
const Schema = `CREATE TABLE IF NOT EXISTS customers (
	id       TEXT    PRIMARY KEY,
	name     TEXT    NOT NULL,
	email    TEXT    NOT NULL,
	revision BIGINT  NOT NULL,
	deleted  BOOLEAN NOT NULL
);
CREATE TABLE IF NOT EXISTS addresses (
	customer_id TEXT   NOT NULL REFERENCES customers (id),
	position    BIGINT NOT NULL,
	street      TEXT   NOT NULL,
	city        TEXT   NOT NULL,
	PRIMARY KEY (customer_id, position)
)`

// Repository keeps customers. What it writes, and the event that tells of it, are in the transaction that the caller gives: they become true together
// when that commits, and not at all when it is rolled back. Without a transaction it writes nothing and returns [tidings.ErrTxDone].
type Repository struct {
	// Events publishes in a transaction: the service's Outbox.
	Events func(tx *store.SQLTx) tidings.Publisher
}

// Insert adds a customer with its addresses. An id that is taken is a conflict.
func (r Repository) Insert(ctx context.Context, tx *store.SQLTx, c Customer) error {
	if err := within(tx); err != nil {
		return err
	}
	added, err := affects(tx.ExecContext(ctx, `INSERT INTO customers (id, name, email, revision, deleted) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING`,
		c.CustomerID, c.Name, c.Email, c.Revision, c.Deleted))
	if err != nil {
		return fmt.Errorf("customer: insert %s: %w", c.CustomerID, err)
	}
	if !added {
		return fmt.Errorf("customer %s exists already: %w", c.CustomerID, tidings.CodeConflict)
	}
	if err = insertAddresses(ctx, tx, c); err != nil {
		return err
	}
	return r.Events(tx).Publish(ctx, NewCreated(c))
}

// Update replaces a customer's details, and returns the customer.
func (r Repository) Update(ctx context.Context, tx *store.SQLTx, id uuid.UUID, d Details) (Customer, error) {
	c := Customer{CustomerID: id, Details: d}
	err := change(ctx, tx, &c)
	if err != nil {
		return c, err
	}
	if err = insertAddresses(ctx, tx, c); err != nil {
		return c, err
	}
	return c, r.Events(tx).Publish(ctx, NewUpdated(c))
}

// Delete deletes a customer, and returns what is left.
func (r Repository) Delete(ctx context.Context, tx *store.SQLTx, id uuid.UUID) (Customer, error) {
	c := Customer{CustomerID: id, Deleted: true}
	if err := change(ctx, tx, &c); err != nil {
		return c, err
	}
	return c, r.Events(tx).Publish(ctx, NewDeleted(c))
}

// change updates the row of a customer who is there, removes the addresses, and sets the new revision. The row stays locked until the commit, so that the events of a
// customer have the order of its revisions.
func change(ctx context.Context, tx *store.SQLTx, c *Customer) error {
	if err := within(tx); err != nil {
		return err
	}
	err := tx.QueryRowContext(ctx, `UPDATE customers SET name = $2, email = $3, deleted = $4, revision = revision + 1 WHERE id = $1 AND NOT deleted RETURNING revision`,
		c.CustomerID, c.Name, c.Email, c.Deleted).Scan(&c.Revision)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound(c.CustomerID)
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, `DELETE FROM addresses WHERE customer_id = $1`, c.CustomerID)
	}
	if err != nil {
		return fmt.Errorf("customer: change %s: %w", c.CustomerID, err)
	}
	return nil
}

func insertAddresses(ctx context.Context, tx *store.SQLTx, c Customer) error {
	for i, a := range c.Addresses {
		_, err := tx.ExecContext(ctx, `INSERT INTO addresses (customer_id, position, street, city) VALUES ($1, $2, $3, $4)`, c.CustomerID, i+1, a.Street, a.City)
		if err != nil {
			return fmt.Errorf("customer: insert address %d of %s: %w", i+1, c.CustomerID, err)
		}
	}
	return nil
}

// find reads a customer who is there.
func find(ctx context.Context, db *sql.DB, id uuid.UUID) (Customer, error) {
	c := Customer{CustomerID: id, Details: Details{Addresses: []Address{}}}
	err := db.QueryRowContext(ctx, `SELECT name, email, revision FROM customers WHERE id = $1 AND NOT deleted`, id).Scan(&c.Name, &c.Email, &c.Revision)
	if errors.Is(err, sql.ErrNoRows) {
		return c, notFound(id)
	}
	if err == nil {
		c.Addresses, err = addresses(ctx, db, id)
	}
	if err != nil {
		return c, fmt.Errorf("customer: find %s: %w", id, err)
	}
	return c, nil
}

func addresses(ctx context.Context, db *sql.DB, id uuid.UUID) ([]Address, error) {
	rows, err := db.QueryContext(ctx, `SELECT street, city FROM addresses WHERE customer_id = $1 ORDER BY position`, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	list := []Address{}
	for rows.Next() {
		var a Address
		if err = rows.Scan(&a.Street, &a.City); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, rows.Err()
}

// within wants a transaction.
func within(tx *store.SQLTx) error {
	if tx.StoreTx() == nil {
		return fmt.Errorf("customer: write: %w", tidings.ErrTxDone)
	}
	return nil
}

func notFound(id uuid.UUID) error {
	return fmt.Errorf("there is no customer %s: %w", id, tidings.CodeNotFound)
}

// affects reports whether a statement has changed a row.
func affects(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
