package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
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
	t.Parallel()
	described := map[string]string{}
	for path, methods := range readDocument(t).Paths {
		for method := range methods {
			described[path] = method
		}
	}
	routes := map[string]string{"/healthz": "get", "/openapi.json": "get", "/services": "get"}
	for path := range open(t, memoryPlace(t), "").web.requests() {
		routes[path] = "post"
	}
	if !maps.Equal(described, routes) {
		t.Errorf("openapi.json has\n%v\nand the routes are\n%v", described, routes)
	}
}

// Every example of the description is sent: it succeeds or is not found, and what is answered is described.
func TestTheExamplesOfTheDescriptionWork(t *testing.T) {
	t.Parallel()
	s := start(t, memoryPlace(t))
	d := readDocument(t)
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for method, o := range d.Paths[path] {
			body := string(o.RequestBody.Content["application/json"].Example)
			body = strings.ReplaceAll(body, `"topic": "`, `"topic": "`+s.Prefix)
			status, kind, answer := send(t, strings.ToUpper(method), s.web.url()+path, body)
			if _, ok := o.Responses[strconv.Itoa(status)]; !ok {
				t.Errorf("%s %s: %d is not described: %s", method, path, status, answer)
			}
			if status != http.StatusOK && kind != "application/problem+json" || status == http.StatusBadRequest {
				t.Errorf("%s %s: %d, %s: %s", method, path, status, kind, answer)
			}
		}
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
}
