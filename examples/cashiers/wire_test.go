package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
	"github.com/tidings-go/tidings/examples/internal/trial"
)

// Topics, keys, attributes and payloads are as in testdata/wire.golden: seen by a client that knows nothing of tidings.
func TestWire(t *testing.T) {
	t.Parallel()
	s := start(t, open(t, realPlace(t)))
	const tenant = "acme"
	trial.Ask(t, s.cashiers, appdomain.CreateCashier, appdomain.NewCashier{TenantID: tenant, Region: "north", CashierID: "ada", Name: "Ada", Email: "ada@acme.example"})
	trial.Ask(t, s.cashiers, appdomain.DeleteCashier, appdomain.OldCashier{TenantID: tenant, CashierID: "ada"})
	trial.Ask(t, s.cashiers, appdomain.CreateUser, appdomain.NewUser{TenantID: tenant, UserID: "bo", Name: "Bo", Email: "bo@acme.example"})
	trial.Ask(t, s.cashiers, invoicing.CreateInvoice, invoicing.NewInvoice{TenantID: tenant, SKU: "tea", Quantity: 3, Amount: 4200})
	trial.Ask(t, s.cashiers, invoicing.PayInvoice, invoicing.Payment{TenantID: tenant, InvoiceID: "acme-1", AmountPaid: 4200})
	awaitReport(t, s, func(r summary) bool { return r.Events == 8 })

	var topics []string
	for _, e := range s.cashiers.Catalog().All() {
		topics = append(topics, e.PublishTopic)
	}
	messages := trial.Kafka(t, topics...).Await(t, 8)
	slices.SortStableFunc(messages, func(a, b string) int { // topics are read side by side
		topicA, _, _ := strings.Cut(a, "\n")
		topicB, _, _ := strings.Cut(b, "\n")
		return strings.Compare(topicA, topicB)
	})
	trial.Golden(t, messages, s.Env, "ENV")
}
