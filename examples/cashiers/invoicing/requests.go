package invoicing

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/tidings-go/tidings"
)

// What can be asked of this domain.
var (
	CreateInvoice = tidings.DefineRequest[NewInvoice, Invoice]("invoicing", "CreateInvoice", "v1")
	PayInvoice    = tidings.DefineRequest[Payment, Invoice]("invoicing", "PayInvoice", "v1")
	FindInvoice   = tidings.DefineRequest[Find, Invoice]("invoicing", "FindInvoice", "v1")
	Restock       = tidings.DefineRequest[Delivery, Stock]("invoicing", "Restock", "v1")
)

// Invoice is an invoice as it is now.
type Invoice struct {
	TenantID  string `json:"tenant_id"`
	InvoiceID string `json:"invoice_id"`
	SKU       string `json:"sku"`
	Quantity  int64  `json:"quantity"`
	// Amount and AmountPaid are in cents.
	Amount     int64  `json:"amount"`
	AmountPaid int64  `json:"amount_paid"`
	PaidDate   string `json:"paid_date,omitempty"`
	Status     Status `json:"status"`
}

// Status is where an invoice stands.
type Status string

// An invoice is open until it is paid, and settled when the payment is entered.
const (
	Open    Status = "open"
	IsPaid  Status = "paid"
	Settled Status = "settled"
)

// NewInvoice makes an invoice. Its id is the tenant's next: acme-1, acme-2, and so on.
type NewInvoice struct {
	TenantID string `json:"tenant_id"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	Amount   int64  `json:"amount"`
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// Validate names all that is wrong.
func (c NewInvoice) Validate() error {
	return errors.Join(id("tenant_id", c.TenantID), id("sku", c.SKU), positive("quantity", c.Quantity), positive("amount", c.Amount))
}

// Payment pays an invoice, at once and in full.
type Payment struct {
	TenantID   string `json:"tenant_id"`
	InvoiceID  string `json:"invoice_id"`
	AmountPaid int64  `json:"amount_paid"`
}

// Find names an invoice.
type Find struct {
	TenantID  string `json:"tenant_id"`
	InvoiceID string `json:"invoice_id"`
}

// Delivery adds to the inventory.
type Delivery struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Validate names all that is wrong.
func (d Delivery) Validate() error {
	return errors.Join(id("sku", d.SKU), positive("quantity", d.Quantity))
}

// Stock is how many of an article are there and not reserved.
type Stock struct {
	SKU   string `json:"sku"`
	Stock int64  `json:"stock"`
}

func id(field, value string) error {
	if !idPattern.MatchString(value) {
		return errors.New(field + ": want 1 to 64 lower-case letters, digits and '-'")
	}
	return nil
}

func positive(field string, value int64) error {
	const limit = 1_000_000_000
	if value < 1 || value > limit {
		return fmt.Errorf("%s: want 1 to %d, not %d", field, limit, value)
	}
	return nil
}
