package invoicing

import (
	"time"

	"github.com/tidings-go/tidings"
)

// The events of this domain. All have the tenant as their key, so that what happens in a tenant's books is read in its order.
var (
	// InvoiceCreated and InvoicePaid share a topic, dev.invoicing.public.invoices.v1.
	InvoiceCreated = tidings.Define[Created]("invoicing", "InvoiceCreated", "v1", tidings.Entity("invoice"))
	InvoicePaid    = tidings.Define[Paid]("invoicing", "InvoicePaid", "v1", tidings.Entity("invoice"))
	// InvoiceUpdated goes where other companies read: dev.billing.public.invoice-updates.v2, a name that was agreed on elsewhere.
	InvoiceUpdated = tidings.Define[Updated]("invoicing", "InvoiceUpdated", "v2", tidings.Topic("invoice-updates"), tidings.TopicDomain("billing"))
	// PaymentReconciled is a step between two reactions of this service, and nobody else's business: dev.invoicing.internal.payments.
	PaymentReconciled = tidings.Define[Reconciled]("invoicing", "PaymentReconciled", "v1", tidings.Internal, tidings.Entity("payment"), tidings.TopicVersion(""))
)

// Created says that there is an invoice.
type Created struct {
	TenantID  string `json:"tenant_id" tidings:"key"`
	InvoiceID string `json:"invoice_id" tidings:"subject"`
	SKU       string `json:"sku"`
	Quantity  int64  `json:"quantity"`
	// Amount is in cents.
	Amount int64 `json:"amount"`
	// Revision counts what has happened in the tenant's books, from 1. So whoever reads them can tell whether anything is missing, doubled or out of order.
	Revision int64 `json:"revision"`
}

// Paid says that an invoice is paid.
type Paid struct {
	TenantID  string `json:"tenant_id" tidings:"key"`
	InvoiceID string `json:"invoice_id" tidings:"subject"`
	// AmountPaid is in cents.
	AmountPaid int64     `json:"amount_paid"`
	PaidDate   time.Time `json:"paid_date"`
	Revision   int64     `json:"revision"`
}

// Updated says that an invoice has another status.
type Updated struct {
	TenantID  string `json:"tenant_id" tidings:"key"`
	InvoiceID string `json:"invoice_id" tidings:"subject"`
	Status    Status `json:"status"`
}

// Reconciled says that a payment is entered.
type Reconciled struct {
	TenantID  string `json:"tenant_id" tidings:"key"`
	InvoiceID string `json:"invoice_id" tidings:"subject"`
	Amount    int64  `json:"amount"`
}
