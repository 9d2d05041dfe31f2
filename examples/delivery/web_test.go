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
	described := map[string]string{}
	for path, methods := range readDocument(t).Paths {
		for method := range methods {
			described[path] = method
		}
	}
	s, err := newSystem(t.Context(), open(t, memoryPlace(t)))
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]string{"/healthz": "get", "/openapi.json": "get"}
	for path := range s.web.requests() {
		routes[path] = "post"
	}
	if !maps.Equal(described, routes) {
		t.Errorf("openapi.json has\n%v\nand the routes are\n%v", described, routes)
	}
}

// Every example of the description is sent: first it succeeds or is not found, and what is answered is described.
func TestTheExamplesOfTheDescriptionWork(t *testing.T) {
	t.Parallel()
	s := start(t, memoryPlace(t), nil)
	d := readDocument(t)
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for method, o := range d.Paths[path] {
			body := string(o.RequestBody.Content["application/json"].Example)
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
