package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/tidings-go/tidings/httpapi"
)

// document is what the tests want of an OpenAPI document.
type document struct {
	Paths map[string]map[string]struct {
		RequestBody struct {
			Content map[string]struct{ Example json.RawMessage }
		} `json:"requestBody"`
		Responses map[string]any
	}
}

func readDocument(t *testing.T) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func send(t *testing.T, method, url, body string) (status int, kind, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), string(data)
}

func TestTheDescriptionHasAllRoutes(t *testing.T) {
	described := map[string]string{}
	for path, methods := range readDocument(t).Paths {
		for method := range methods {
			described[path] = method
		}
	}
	routes := map[string]string{"/healthz": "get", "/openapi.json": "get"}
	for _, r := range []role{api, notifier} {
		cfg := open(t, memoryPlace(t))
		cfg.Role = r
		s, err := newSystem(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for path := range s.web.requests() {
			if routes[path] != "" {
				t.Errorf("both roles have %s", path)
			}
			routes[path] = "post"
		}
	}
	if !maps.Equal(described, routes) {
		t.Errorf("openapi.json has\n%v\nand the routes are\n%v", described, routes)
	}
}

// Every example of the description works, in an order that makes sense, and so do those without a body.
func TestTheExamplesOfTheDescriptionWork(t *testing.T) {
	t.Parallel()
	s := start(t, open(t, memoryPlace(t)))
	d := readDocument(t)
	order := []string{
		"/cashiers", "/cashiers/delete", "/users", "/inventory/restock", "/invoices", "/invoices/pay", "/invoices/find", "/statements", "/mails", "/healthz", "/openapi.json",
	}
	if len(order) != len(d.Paths) {
		t.Errorf("there are %d paths", len(d.Paths))
	}
	for _, path := range order {
		for method, o := range d.Paths[path] {
			status, _, answer := send(t, strings.ToUpper(method), s.web.url()+path, string(o.RequestBody.Content["application/json"].Example))
			if _, ok := o.Responses[strconv.Itoa(status)]; !ok || status != http.StatusOK {
				t.Errorf("%s %s: %d: %s", method, path, status, answer)
			}
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
		status, kind, answer := send(t, c.method, s.web.url()+c.path, c.body)
		if status != c.status || !strings.Contains(answer, c.detail) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, status, answer)
		}
		if status == http.StatusOK {
			continue
		}
		var p httpapi.Problem
		if err := json.Unmarshal([]byte(answer), &p); err != nil || kind != "application/problem+json" || p.Status != status || p.Title == "" || p.Code == "" {
			t.Errorf("%s %s: no problem: %v, %s %s", c.method, c.path, err, kind, answer)
		}
	}
	// A command that was refused leaves nothing behind: the next entry has the next number.
	if _, _, answer := send(t, "POST", s.web.url()+"/invoices", `{"tenant_id":"acme","sku":"tea","quantity":1,"amount":5}`); !strings.Contains(answer, `"acme-2"`) {
		t.Errorf("the second invoice: %s", answer)
	}
	awaitReport(t, s, func(r summary) bool { return r.Entries == 3 && r.Lines == 3 && r.OutOfOrder == 0 })
}
