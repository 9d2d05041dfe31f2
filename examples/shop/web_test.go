package main

import (
	"strings"
	"testing"

	"github.com/tidings-go/tidings/examples/internal/trial"
)

func TestTheDescriptionHasAllRoutes(t *testing.T) {
	t.Parallel()
	trial.Routes(t, openAPI, open(t, memoryPlace(t), "").requests(), "/services")
}

// Every example of the description is sent: it succeeds or is not found, and what is answered is described.
func TestTheExamplesOfTheDescriptionWork(t *testing.T) {
	t.Parallel()
	s := start(t, memoryPlace(t))
	for _, e := range trial.Examples(t, openAPI) {
		e.Body = strings.ReplaceAll(e.Body, `"topic": "`, `"topic": "`+s.Prefix)
		e.Send(t, s.web.URL())
	}
}

func TestAnswersAndProblems(t *testing.T) {
	t.Parallel()
	s := start(t, memoryPlace(t))
	const id = `"0a000000-0000-4000-8000-00000000000a"`
	const ada = `{"customer_id":` + id + `,"name":"Ada","email":"ada@example.com","addresses":[{"street":"Main Street 1","city":"Kiel"}]}`
	raw := func(topic, typ, key, data string) string {
		return `{"topic":"` + s.Prefix + topic + `","type":"` + typ + `","key":"` + key + `","data":` + data + `}`
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		detail             string
	}{
		{"POST", "/customers", ada, 200, `"revision":1`},
		{"POST", "/customers/find", `{"customer_id":` + id + `}`, 200, `"street":"Main Street 1"`},
		{"POST", "/customers", ada, 409, "exists already"},
		{"POST", "/customers", `{"name":"Ada"}`, 400, "email: want one"},
		{"POST", "/customers", `{"customer":"ada"}`, 400, `unknown field \"customer\"`},
		{"POST", "/customers/update", strings.Replace(ada, "0a0", "0f0", 1), 404, "there is no customer"},
		{"POST", "/customers/find", `{"customer_id":"ada"}`, 400, "invalid UUID"},
		{"GET", "/customers", ``, 405, "want POST"},
		{"POST", "/products/view", `{"product_id":` + id + `}`, 404, "there is no product"},
		{"POST", "/reader/find", `{"id":"0f000000-0000-4000-8000-000000000001"}`, 404, "nothing is known"},
		{"POST", "/customers/publish", raw("customer-events", "customer.deleted", "x", `{"customer_id":`+id+`}`), 200, `"sequence":`},
		{"POST", "/customers/publish", raw("customer-events", "product.viewed", "x", `{}`), 400, `publishes no \"product.viewed\"`},
		{"POST", "/customers/publish", raw("product-events", "product.viewed", "x", `{}`), 400, "only its own events"},
		{"POST", "/customers/publish", raw("customer-events", "customer.deleted", "", `{}`), 400, "it has no key"},
		{"GET", "/services", ``, 200, `"writes":["` + s.Prefix + `customer-events"]`},
		{"GET", "/healthz", ``, 200, `ok`},
		{"GET", "/nowhere", ``, 404, "see /openapi.json"},
	} {
		trial.Send(t, c.method, s.web.URL()+c.path, c.body).Want(t, c.status, c.detail)
	}
}
