package main

import (
	"testing"

	"github.com/tidings-go/tidings/examples/internal/trial"
)

func TestTheDescriptionHasAllRoutes(t *testing.T) {
	s, err := newSystem(t.Context(), open(t, memoryPlace(t)))
	if err != nil {
		t.Fatal(err)
	}
	trial.Routes(t, openAPI, requests(s.app, s.Log))
}

// Every example of the description is sent: first it succeeds or is not found, and what is answered is described.
func TestTheExamplesOfTheDescriptionWork(t *testing.T) {
	t.Parallel()
	s := start(t, memoryPlace(t), nil)
	for _, e := range trial.Examples(t, openAPI) {
		e.Send(t, s.web.URL())
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	s := start(t, memoryPlace(t), nil)
	const tea = `{"order_id":"tea","customer_id":"ada","amount":5,"currency":"EUR","items":["cup"]}`
	for _, c := range []struct {
		method, path, body string
		status             int
		detail             string
	}{
		{"POST", "/orders", tea, 200, ``},
		{"POST", "/orders", tea, 409, "order tea exists already"},
		{"POST", "/orders", `{"order_id":"tea 2"}`, 400, "items: want 1 to 100"},
		{"POST", "/orders", `{"order":"tea"}`, 400, `unknown field \"order\"`},
		{"GET", "/orders", ``, 405, "want POST"},
		{"POST", "/payments", `{"order_id":"tea","amount":4}`, 409, "costs 5, not 4"},
		{"POST", "/payments", `{"order_id":"tea","amount":5}`, 200, ``},
		{"POST", "/payments", `{"order_id":"tea","amount":5}`, 409, "is paid"},
		{"POST", "/payments", `{"order_id":"mug","amount":5}`, 404, "there is no order"},
		{"POST", "/orders/move", `{"order_id":"mug","place":"Kiel"}`, 404, "there is no order"},
		{"POST", "/tracking", `{"order_id":"mug"}`, 404, "nothing is known"},
		{"GET", "/nowhere", ``, 404, "see /openapi.json"},
	} {
		trial.Send(t, c.method, s.web.URL()+c.path, c.body).Want(t, c.status, c.detail)
	}
}
