package trial

import (
	"encoding/json"
	"fmt"
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

func read(t *testing.T, openAPI []byte) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Routes wants an OpenAPI document to describe exactly these routes: requests are posted, pages are what is got besides.
func Routes(t *testing.T, openAPI []byte, requests map[string]http.Handler, pages ...string) {
	t.Helper()
	described, routes := map[string]string{}, map[string]string{}
	for path, methods := range read(t, openAPI).Paths {
		for method := range methods {
			described[path] = method
		}
	}
	for path := range requests {
		routes[path] = "post"
	}
	for _, path := range append(pages, "/healthz", "/openapi.json") {
		routes[path] = "get"
	}
	if !maps.Equal(described, routes) {
		t.Errorf("openapi.json has\n%v\nand the routes are\n%v", described, routes)
	}
}

// Example is one of an OpenAPI document.
type Example struct {
	Method, Path, Body string
	answers            []string
}

// Examples are those of all paths, in the order of these.
func Examples(t *testing.T, openAPI []byte) []Example {
	t.Helper()
	var examples []Example
	d := read(t, openAPI)
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for method, o := range d.Paths[path] {
			body := string(o.RequestBody.Content["application/json"].Example)
			examples = append(examples, Example{strings.ToUpper(method), path, body, slices.Collect(maps.Keys(o.Responses))})
		}
	}
	return examples
}

// Send sends the example to a server. The answer must be described, and may be a problem, but not that the example is malformed.
func (e Example) Send(t *testing.T, url string) Answer {
	t.Helper()
	a := Send(t, e.Method, url+e.Path, e.Body)
	if !slices.Contains(e.answers, strconv.Itoa(a.Status)) {
		t.Errorf("%s is not described", a)
	}
	if a.Status/100 != 2 && a.Kind != "application/problem+json" || a.Status == http.StatusBadRequest {
		t.Error(a)
	}
	return a
}

// Answer is what a server has answered.
type Answer struct {
	Status int
	// Kind is the content type.
	Kind, Body string
	question   string
}

// Send sends a request.
func Send(t *testing.T, method, url, body string) Answer {
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
	defer func() { _ = response.Body.Close() }() // it is read to its end
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{response.StatusCode, response.Header.Get("Content-Type"), string(data), method + " " + url + " " + body}
}

// Want wants an answer with this status, and this in its body. Any but 200 must be a problem.
func (a Answer) Want(t *testing.T, status int, detail string) {
	t.Helper()
	if a.Status != status || !strings.Contains(a.Body, detail) {
		t.Errorf("%s, want %d with %q", a, status, detail)
	}
	if a.Status == http.StatusOK {
		return
	}
	var p httpapi.Problem
	if err := json.Unmarshal([]byte(a.Body), &p); err != nil || a.Kind != "application/problem+json" || p.Status != a.Status || p.Title == "" || p.Code == "" {
		t.Errorf("no problem: %v, %s", err, a)
	}
}

// String is the answer, with what it answers.
func (a Answer) String() string {
	return fmt.Sprintf("%s: %d, %s: %s", a.question, a.Status, a.Kind, a.Body)
}
