package invoicing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// ErrNotAvailable says that there is not enough of an article. That is a result like any other, and no failure.
var ErrNotAvailable = errors.New("inventory not available")

// react subscribes to what has to follow. Each subscription has its own position: one that is behind holds up no other.
func react(m *tidings.Module) {
	m.Subscribe(tidings.Subscription{Name: "inventory"}, tidings.OnTx(InvoiceCreated, reserve))
	m.Subscribe(tidings.Subscription{Name: "reconciliation"}, tidings.OnTx(InvoicePaid, func(ctx context.Context, tx *store.SQLTx, e Paid) error {
		if err := reconcile(ctx, tx, e); err != nil {
			return err
		}
		return PaymentReconciled.Publish(ctx, m.Outbox(tx), Reconciled{TenantID: e.TenantID, InvoiceID: e.InvoiceID, Amount: e.AmountPaid})
	}))
	m.Subscribe(tidings.Subscription{Name: "settlement"}, tidings.OnTx(PaymentReconciled, func(ctx context.Context, tx *store.SQLTx, e Reconciled) error {
		if err := settle(ctx, tx, e); err != nil {
			return err
		}
		return InvoiceUpdated.Publish(ctx, m.Outbox(tx), Updated{TenantID: e.TenantID, InvoiceID: e.InvoiceID, Status: Settled})
	}))
}

// reserve takes what was invoiced out of the inventory. Where there is too little, trying again would not make it more: the message is logged and done.
func reserve(ctx context.Context, tx *store.SQLTx, e Created) error {
	enough, err := affects(tx.ExecContext(ctx, `UPDATE inventory SET stock = stock - $2 WHERE sku = $1 AND stock >= $2`, e.SKU, e.Quantity))
	if err != nil {
		return fmt.Errorf("invoicing: reserve %s for %s: %w", e.SKU, e.InvoiceID, err)
	}
	if !enough {
		return tidings.Discard(fmt.Errorf("%w: %d of %s for invoice %s", ErrNotAvailable, e.Quantity, e.SKU, e.InvoiceID))
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO reservations (tenant_id, invoice_id, quantity) VALUES ($1, $2, $3)`, e.TenantID, e.InvoiceID, e.Quantity)
	if err != nil {
		return fmt.Errorf("invoicing: reserve %s for %s: %w", e.SKU, e.InvoiceID, err)
	}
	return nil
}

// reconcile enters a payment.
func reconcile(ctx context.Context, tx *store.SQLTx, e Paid) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO payments (tenant_id, invoice_id, amount) VALUES ($1, $2, $3)`, e.TenantID, e.InvoiceID, e.AmountPaid)
	if err != nil {
		return fmt.Errorf("invoicing: reconcile %s: %w", e.InvoiceID, err)
	}
	return nil
}

// settle closes an invoice whose payment is entered.
func settle(ctx context.Context, tx *store.SQLTx, e Reconciled) error {
	_, err := tx.ExecContext(ctx, `UPDATE invoices SET status = $2 WHERE invoice_id = $1`, e.InvoiceID, string(Settled))
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO settlements (tenant_id, invoice_id) VALUES ($1, $2)`, e.TenantID, e.InvoiceID)
	}
	if err != nil {
		return fmt.Errorf("invoicing: settle %s: %w", e.InvoiceID, err)
	}
	return nil
}

// affects reports whether a statement has changed a row.
func affects(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
