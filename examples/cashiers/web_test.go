package main

import (
	"net/http"
	"slices"
	"testing"

	"github.com/tidings-go/tidings/examples/internal/trial"
)

func TestTheDescriptionHasAllRoutes(t *testing.T) {
	both := map[string]http.Handler{}
	for _, r := range []role{api, notifier} {
		cfg := open(t, memoryPlace(t))
		cfg.Role = r
		s, err := newSystem(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for path, handler := range s.requests() {
			if both[path] != nil {
				t.Errorf("both roles have %s", path)
			}
			both[path] = handler
		}
	}
	trial.Routes(t, openAPI, both)
}

// Every example of the description works, in an order that makes sense, and so do those without a body.
func TestTheExamplesOfTheDescriptionWork(t *testing.T) {
	t.Parallel()
	s := start(t, open(t, memoryPlace(t)))
	order := []string{
		"/cashiers", "/cashiers/delete", "/users", "/inventory/restock", "/invoices", "/invoices/pay", "/invoices/find", "/statements", "/mails", "/healthz", "/openapi.json",
	}
	examples := trial.Examples(t, openAPI)
	if len(order) != len(examples) {
		t.Errorf("there are %d examples", len(examples))
	}
	slices.SortFunc(examples, func(a, b trial.Example) int { return slices.Index(order, a.Path) - slices.Index(order, b.Path) })
	for _, e := range examples {
		if a := e.Send(t, s.web.URL()); a.Status != http.StatusOK {
			t.Error(a)
		}
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	s := start(t, open(t, memoryPlace(t)))
	const ada = `{"tenant_id":"acme","region":"north","cashier_id":"ada","name":"Ada","email":"ada@acme.example"}`
	const bo = `{"tenant_id":"acme","user_id":"bo","name":"Bo","email":"bo@acme.example"}`
	for _, c := range []struct {
		method, path, body string
		status             int
		detail             string
	}{
		{"POST", "/cashiers", ada, 200, ``},
		{"POST", "/cashiers", ada, 409, "acme has or had a cashier ada"},
		{"POST", "/cashiers", `{"tenant_id":"Acme"}`, 400, "tenant_id: want"},
		{"POST", "/cashiers", `{"tenant":"acme"}`, 400, `unknown field \"tenant\"`},
		{"GET", "/cashiers", ``, 405, "want POST"},
		{"POST", "/cashiers/delete", `{"tenant_id":"other","cashier_id":"ada"}`, 404, "other has no cashier ada"},
		{"POST", "/cashiers/delete", `{"tenant_id":"acme","cashier_id":"ada"}`, 200, ``},
		{"POST", "/cashiers/delete", `{"tenant_id":"acme","cashier_id":"ada"}`, 404, "acme has no cashier ada"},
		{"POST", "/cashiers", ada, 409, "acme has or had a cashier ada"},
		{"POST", "/users", bo, 200, ``},
		{"POST", "/users", bo, 409, "acme has a user bo"},
		{"POST", "/invoices", `{"tenant_id":"acme","sku":"tea","quantity":0,"amount":5}`, 400, "quantity: want 1"},
		{"POST", "/invoices", `{"tenant_id":"acme","sku":"tea","quantity":1,"amount":5}`, 200, `acme-1`},
		{"POST", "/invoices/pay", `{"tenant_id":"acme","invoice_id":"acme-1","amount_paid":4}`, 409, "is over 5, not 4"},
		{"POST", "/invoices/pay", `{"tenant_id":"other","invoice_id":"acme-1","amount_paid":5}`, 404, "other has no invoice"},
		{"POST", "/invoices/pay", `{"tenant_id":"acme","invoice_id":"acme-1","amount_paid":5}`, 200, `"paid"`},
		{"POST", "/invoices/pay", `{"tenant_id":"acme","invoice_id":"acme-1","amount_paid":5}`, 409, "invoice acme-1 is"},
		{"POST", "/invoices/find", `{"tenant_id":"other","invoice_id":"acme-1"}`, 404, "other has no invoice"},
		{"POST", "/inventory/restock", `{"sku":"tea","quantity":-1}`, 400, "quantity: want 1"},
		{"GET", "/nowhere", ``, 404, "see /openapi.json"},
	} {
		trial.Send(t, c.method, s.web.URL()+c.path, c.body).Want(t, c.status, c.detail)
	}
	// A command that was refused leaves nothing behind: the next entry has the next number.
	trial.Send(t, "POST", s.web.URL()+"/invoices", `{"tenant_id":"acme","sku":"tea","quantity":1,"amount":5}`).Want(t, 200, `"acme-2"`)
	awaitReport(t, s, func(r summary) bool { return r.Entries == 3 && r.Lines == 3 && r.OutOfOrder == 0 })
}
