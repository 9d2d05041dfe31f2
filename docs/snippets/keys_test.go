package snippets_test

import (
	"fmt"

	"github.com/tidings-go/tidings"
)

// InvoicePaid is published when an invoice was paid. What happens to one invoice stays in order.
type InvoicePaid struct {
	TenantID  string `json:"tenant_id" tidings:"key"`
	InvoiceID int    `json:"invoice_id" tidings:"key"`
	Cents     int    `json:"cents"`
}

var paid = tidings.Define[InvoicePaid]("invoicing", "InvoicePaid", "v1", tidings.Entity("invoice"))

func Example_keys() {
	fmt.Println(paid.New(InvoicePaid{TenantID: "acme", InvoiceID: 7}).Key)
	fmt.Println(paid.New(InvoicePaid{TenantID: "a|b", InvoiceID: 7}).Key) // no two different keys are the same
	// Output:
	// acme|7
	// a\|b|7
}
