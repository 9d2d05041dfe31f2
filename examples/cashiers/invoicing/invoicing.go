// Package invoicing writes invoices, takes payments and reserves what was invoiced from the inventory. Some of that are commands (this file), the rest follows
// from their events (reactions.go):
//
//	CreateInvoice ─ InvoiceCreated ─ reserve
//	PayInvoice    ─ InvoicePaid    ─ reconcile ─ PaymentReconciled ─ settle ─ InvoiceUpdated
//
// Each step is one transaction, with what it writes, the event that it leads to, and the note that it was taken.
package invoicing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// Schema makes the domain's tables. Reservations, payments and settlements are not unique on purpose: what is done twice is two rows, and the report counts them.
const Schema = `CREATE TABLE IF NOT EXISTS books (
	tenant_id TEXT   PRIMARY KEY,
	invoices  BIGINT NOT NULL, -- how many the tenant has
	revision  BIGINT NOT NULL  -- how much has happened in all
);
CREATE TABLE IF NOT EXISTS invoices (
	tenant_id   TEXT   NOT NULL,
	invoice_id  TEXT   PRIMARY KEY,
	sku         TEXT   NOT NULL,
	quantity    BIGINT NOT NULL,
	amount      BIGINT NOT NULL,
	amount_paid BIGINT NOT NULL,
	paid_date   TEXT   NOT NULL, -- RFC 3339
	status      TEXT   NOT NULL
);
CREATE TABLE IF NOT EXISTS inventory (
	sku   TEXT   PRIMARY KEY,
	stock BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS reservations (
	tenant_id  TEXT   NOT NULL,
	invoice_id TEXT   NOT NULL,
	quantity   BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS payments (
	tenant_id  TEXT   NOT NULL,
	invoice_id TEXT   NOT NULL,
	amount     BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS settlements (
	tenant_id  TEXT NOT NULL,
	invoice_id TEXT NOT NULL
)`

// Add adds the domain to an app, as a module. Its tables are in db, which is the database of the app's store.
func Add(app *tidings.App, db *sql.DB) {
	m := app.AddModule("invoicing")
	m.Emits(InvoiceCreated, InvoicePaid, InvoiceUpdated, PaymentReconciled)
	m.Serve(
		tidings.HandleTx(CreateInvoice, create),
		tidings.HandleTx(PayInvoice, pay),
		tidings.HandleTx(Restock, restock),
		tidings.Serve(FindInvoice, func(ctx context.Context, f Find) (Invoice, error) { return find(ctx, db, f.TenantID, f.InvoiceID) }),
	)
	react(m)
}

func create(ctx context.Context, tx *store.SQLTx, c NewInvoice) (Invoice, tidings.Events, error) {
	revision, n, err := enter(ctx, tx, c.TenantID, 1)
	if err != nil {
		return Invoice{}, nil, err
	}
	i := Invoice{TenantID: c.TenantID, InvoiceID: fmt.Sprintf("%s-%d", c.TenantID, n), SKU: c.SKU, Quantity: c.Quantity, Amount: c.Amount, Status: Open}
	_, err = tx.ExecContext(ctx, `INSERT INTO invoices (tenant_id, invoice_id, sku, quantity, amount, amount_paid, paid_date, status)
		VALUES ($1, $2, $3, $4, $5, 0, '', $6)`, i.TenantID, i.InvoiceID, i.SKU, i.Quantity, i.Amount, string(i.Status))
	if err != nil {
		return Invoice{}, nil, fmt.Errorf("invoicing: create %s: %w", i.InvoiceID, err)
	}
	return i, tidings.Events{InvoiceCreated.New(Created{
		TenantID: i.TenantID, InvoiceID: i.InvoiceID, SKU: i.SKU, Quantity: i.Quantity, Amount: i.Amount, Revision: revision,
	})}, nil
}

func pay(ctx context.Context, tx *store.SQLTx, p Payment) (Invoice, tidings.Events, error) {
	revision, _, err := enter(ctx, tx, p.TenantID, 0)
	if err != nil {
		return Invoice{}, nil, err
	}
	i, err := find(ctx, tx, p.TenantID, p.InvoiceID)
	switch {
	case err != nil:
		return Invoice{}, nil, err
	case i.Status != Open:
		return Invoice{}, nil, fmt.Errorf("invoice %s is %s: %w", i.InvoiceID, i.Status, tidings.CodeConflict)
	case i.Amount != p.AmountPaid:
		return Invoice{}, nil, fmt.Errorf("invoice %s is over %d, not %d: %w", i.InvoiceID, i.Amount, p.AmountPaid, tidings.CodeConflict)
	}
	now := time.Now().UTC().Truncate(time.Second)
	i.Status, i.AmountPaid, i.PaidDate = IsPaid, p.AmountPaid, now.Format(time.RFC3339)
	_, err = tx.ExecContext(ctx, `UPDATE invoices SET status = $2, amount_paid = $3, paid_date = $4 WHERE invoice_id = $1`,
		i.InvoiceID, string(i.Status), i.AmountPaid, i.PaidDate)
	if err != nil {
		return Invoice{}, nil, fmt.Errorf("invoicing: pay %s: %w", i.InvoiceID, err)
	}
	return i, tidings.Events{InvoicePaid.New(Paid{
		TenantID: i.TenantID, InvoiceID: i.InvoiceID, AmountPaid: i.AmountPaid, PaidDate: now, Revision: revision,
	})}, nil
}

// restock leads to no event.
func restock(ctx context.Context, tx *store.SQLTx, d Delivery) (Stock, tidings.Events, error) {
	s := Stock{SKU: d.SKU}
	err := tx.QueryRowContext(ctx, `INSERT INTO inventory (sku, stock) VALUES ($1, $2)
		ON CONFLICT (sku) DO UPDATE SET stock = inventory.stock + excluded.stock RETURNING stock`, d.SKU, d.Quantity).Scan(&s.Stock)
	if err != nil {
		return s, nil, fmt.Errorf("invoicing: restock %s: %w", d.SKU, err)
	}
	return s, nil, nil
}

// enter begins an entry in a tenant's books, and returns its revision and how many invoices there are with it. The row stays locked until the commit, so that the
// events of a tenant have the order of its revisions.
func enter(ctx context.Context, tx *store.SQLTx, tenant string, invoices int) (revision, n int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO books (tenant_id, invoices, revision) VALUES ($1, $2, 1)
		ON CONFLICT (tenant_id) DO UPDATE SET invoices = books.invoices + excluded.invoices, revision = books.revision + 1
		RETURNING revision, invoices`, tenant, invoices).Scan(&revision, &n)
	if err != nil {
		return 0, 0, fmt.Errorf("invoicing: open the books of %s: %w", tenant, err)
	}
	return revision, n, nil
}

// querier is a database, or a transaction on it.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func find(ctx context.Context, db querier, tenant, invoice string) (Invoice, error) {
	i := Invoice{TenantID: tenant, InvoiceID: invoice}
	err := db.QueryRowContext(ctx, `SELECT sku, quantity, amount, amount_paid, paid_date, status FROM invoices WHERE invoice_id = $1 AND tenant_id = $2`,
		invoice, tenant).Scan(&i.SKU, &i.Quantity, &i.Amount, &i.AmountPaid, &i.PaidDate, &i.Status)
	if errors.Is(err, sql.ErrNoRows) {
		return Invoice{}, fmt.Errorf("%s has no invoice %q: %w", tenant, invoice, tidings.CodeNotFound)
	}
	if err != nil {
		return Invoice{}, fmt.Errorf("invoicing: find %s: %w", invoice, err)
	}
	return i, nil
}
