// Package appdomain keeps the tenants' cashiers and users. Each command is a plain function: it gets a transaction, and returns an answer and the events that the
// command leads to, which are committed with its rows or not at all. It is called with commands that are valid, and once for each idempotency key.
package appdomain

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// Schema makes the domain's tables.
const Schema = `CREATE TABLE IF NOT EXISTS cashiers (
	tenant_id  TEXT    NOT NULL,
	cashier_id TEXT    NOT NULL,
	region     TEXT    NOT NULL,
	name       TEXT    NOT NULL,
	email      TEXT    NOT NULL,
	deleted    BOOLEAN NOT NULL,
	PRIMARY KEY (tenant_id, cashier_id)
);
CREATE TABLE IF NOT EXISTS users (
	tenant_id    TEXT NOT NULL,
	user_id      TEXT NOT NULL,
	name         TEXT NOT NULL,
	email        TEXT NOT NULL,
	created_date TEXT NOT NULL, -- RFC 3339
	PRIMARY KEY (tenant_id, user_id)
)`

// Add adds the domain to an app, as a module.
func Add(app *tidings.App) {
	m := app.AddModule("appdomain")
	m.Emits(CashierCreated, CashierDeleted, UserCreatedV1, UserCreatedV2)
	m.Serve(
		tidings.HandleTx(CreateCashier, createCashier),
		tidings.HandleTx(DeleteCashier, deleteCashier),
		tidings.HandleTx(CreateUser, createUser),
	)
}

func createCashier(ctx context.Context, tx *store.SQLTx, c NewCashier) (Cashier, tidings.Events, error) {
	made, err := affects(tx.ExecContext(ctx, `INSERT INTO cashiers (tenant_id, cashier_id, region, name, email, deleted)
		VALUES ($1, $2, $3, $4, $5, FALSE) ON CONFLICT (tenant_id, cashier_id) DO NOTHING`, c.TenantID, c.CashierID, c.Region, c.Name, c.Email))
	if err != nil {
		return Cashier{}, nil, fmt.Errorf("appdomain: create cashier %s: %w", c.CashierID, err)
	}
	if !made {
		return Cashier{}, nil, fmt.Errorf("%s has or had a cashier %s: %w", c.TenantID, c.CashierID, tidings.CodeConflict)
	}
	cashier := Cashier{CashierID: c.CashierID, Name: c.Name, Email: c.Email}
	return cashier, tidings.Events{CashierCreated.New(Created{TenantID: c.TenantID, Region: c.Region, Cashier: cashier})}, nil
}

func deleteCashier(ctx context.Context, tx *store.SQLTx, c OldCashier) (Cashier, tidings.Events, error) {
	cashier, deleted := Cashier{CashierID: c.CashierID}, Deleted{TenantID: c.TenantID, CashierID: c.CashierID}
	err := tx.QueryRowContext(ctx, `UPDATE cashiers SET deleted = TRUE WHERE tenant_id = $1 AND cashier_id = $2 AND NOT deleted
		RETURNING region, name, email`, c.TenantID, c.CashierID).Scan(&deleted.Region, &cashier.Name, &cashier.Email)
	if errors.Is(err, sql.ErrNoRows) {
		return Cashier{}, nil, fmt.Errorf("%s has no cashier %s: %w", c.TenantID, c.CashierID, tidings.CodeNotFound)
	}
	if err != nil {
		return Cashier{}, nil, fmt.Errorf("appdomain: delete cashier %s: %w", c.CashierID, err)
	}
	return cashier, tidings.Events{CashierDeleted.New(deleted)}, nil
}

// createUser tells of the user in both versions, which are one fact: whoever reads both gets the newer.
func createUser(ctx context.Context, tx *store.SQLTx, c NewUser) (User, tidings.Events, error) {
	u := User{UserID: c.UserID, Name: c.Name, Email: c.Email, CreatedDate: time.Now().UTC().Truncate(time.Second)}
	made, err := affects(tx.ExecContext(ctx, `INSERT INTO users (tenant_id, user_id, name, email, created_date)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, user_id) DO NOTHING`, c.TenantID, u.UserID, u.Name, u.Email, u.CreatedDate.Format(time.RFC3339)))
	if err != nil {
		return User{}, nil, fmt.Errorf("appdomain: create user %s: %w", c.UserID, err)
	}
	if !made {
		return User{}, nil, fmt.Errorf("%s has a user %s: %w", c.TenantID, c.UserID, tidings.CodeConflict)
	}
	return u, tidings.Twins(
		UserCreatedV2.New(UserV2{TenantID: c.TenantID, UserID: u.UserID, Name: u.Name, Email: u.Email, CreatedDate: u.CreatedDate}),
		UserCreatedV1.New(UserV1(c)),
	), nil
}

// affects reports whether a statement has changed a row.
func affects(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
