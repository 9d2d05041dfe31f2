package platform_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/sse"
)

func TestBookAndRefundOverHTTP(t *testing.T) {
	p := start(t, nil)
	var b platform.Booking
	p.request(t, "POST /bookings", `{"show":"hamlet","customer":"Ada Lovelace","seats":2}`, http.StatusCreated, &b)
	if b.ID == "" || b.Show != "hamlet" || b.Customer != "Ada Lovelace" || b.Seats != 2 || b.N != 1 || time.Since(b.MadeAt) > time.Minute {
		t.Errorf("booked %+v", b)
	}
	p.quiet()
	var row platform.Row
	p.request(t, "GET /ops/bookings/"+b.ID, "", http.StatusOK, &row)
	want := platform.Row{
		BookingID: b.ID, Show: "hamlet", Customer: "Ada Lovelace", Seats: 2, Status: "ready", UpdatedAt: row.UpdatedAt,
		Steps: platform.Steps{Made: 1, Confirmed: 1, Receipted: 1, Printed: 1},
	}
	if row != want {
		t.Errorf("got %+v, want %+v", row, want)
	}

	p.request(t, "POST /bookings/"+b.ID+"/refund", "", http.StatusOK, nil)
	p.request(t, "POST /bookings/"+b.ID+"/refund", "", http.StatusConflict, &problem{})
	p.request(t, "POST /bookings/nothing/refund", "", http.StatusNotFound, &problem{})
	p.quiet()
	p.request(t, "GET /ops/bookings/"+b.ID, "", http.StatusOK, &row)
	if row.Status != "refunded" || row.Refunded != 1 {
		t.Errorf("after the refund: %+v", row)
	}

	var second platform.Booking
	p.request(t, "POST /bookings", `{"show":"hamlet","customer":"Bob","seats":1}`, http.StatusCreated, &second)
	p.quiet()
	var rows []platform.Row
	p.request(t, "GET /ops/bookings", "", http.StatusOK, &rows)
	if len(rows) != 2 || rows[0].BookingID != second.ID || second.N != 2 {
		t.Errorf("the newest is not the first: %+v", rows)
	}
	p.request(t, "GET /ops/bookings?limit=1", "", http.StatusOK, &rows)
	if len(rows) != 1 {
		t.Errorf("%d rows with limit 1", len(rows))
	}
	var totals platform.Steps
	p.request(t, "GET /ops/totals", "", http.StatusOK, &totals)
	if totals != (platform.Steps{Made: 2, Confirmed: 2, Receipted: 2, Printed: 2, Refunded: 1}) {
		t.Errorf("totals are %+v", totals)
	}
	p.request(t, "GET /ops/bookings/nothing", "", http.StatusNotFound, &problem{})
	p.request(t, "GET /healthz", "", http.StatusOK, nil)
}

func TestBadRequests(t *testing.T) {
	p := start(t, nil)
	for _, test := range []struct {
		name, body string
		status     int
		fields     string
	}{
		{"every field", `{"show":"Ham let","customer":" ","seats":0}`, http.StatusUnprocessableEntity, "show customer seats"},
		{"nothing", `{}`, http.StatusUnprocessableEntity, "show customer seats"},
		{"a long name", `{"show":"a","customer":"` + strings.Repeat("ü", 101) + `","seats":1}`, http.StatusUnprocessableEntity, "customer"},
		{"control characters", `{"show":"a","customer":"a\u0000b","seats":21}`, http.StatusUnprocessableEntity, "customer seats"},
		{"no JSON", `show=hamlet`, http.StatusBadRequest, ""},
		{"a wrong type", `{"seats":"two"}`, http.StatusBadRequest, ""},
		{"an unknown field", `{"show":"a","customer":"b","seats":1,"vip":true}`, http.StatusBadRequest, ""},
		{"two values", `{"show":"a","customer":"b","seats":1}{}`, http.StatusBadRequest, ""},
		{"too much", `{"show":"` + strings.Repeat("a", 20_000) + `"}`, http.StatusRequestEntityTooLarge, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got problem
			p.request(t, "POST /bookings", test.body, test.status, &got)
			var fields []string
			for _, e := range got.Errors {
				fields = append(fields, e.Field)
				if e.Detail == "" {
					t.Errorf("%s: no detail", e.Field)
				}
			}
			if strings.Join(fields, " ") != test.fields || got.Status != test.status || got.Title == "" {
				t.Errorf("got %+v, want the fields %s", got, test.fields)
			}
		})
	}
	p.request(t, "GET /ops/bookings?limit=0", "", http.StatusUnprocessableEntity, &problem{})
	if got := p.report(); got.Bookings != 0 {
		t.Errorf("%d bookings came of bad requests", got.Bookings)
	}
}

func TestWhoMayAsk(t *testing.T) {
	handler := start(t, nil).Handler()
	const body = `{"show":"hamlet","customer":"Ada","seats":2}`
	for _, test := range []struct {
		name, method, path, host string
		header                   map[string]string
		status                   int
	}{
		{"localhost", http.MethodGet, "/", "localhost:8080", nil, http.StatusOK},
		{"IPv6", http.MethodGet, "/", "[::1]:8080", nil, http.StatusOK},
		{"IPv6 without a port", http.MethodGet, "/", "[::1]", nil, http.StatusOK},
		{"upper case", http.MethodGet, "/", "LocalHost", nil, http.StatusOK},
		{"another name", http.MethodGet, "/", "evil.example", nil, http.StatusForbidden},
		{"a name that begins alike", http.MethodGet, "/", "localhost.evil.example:8080", nil, http.StatusForbidden},
		{"no name", http.MethodGet, "/ops/bookings", "", nil, http.StatusForbidden},
		{"a program", http.MethodPost, "/bookings", "localhost", map[string]string{"Content-Type": "application/json"}, http.StatusCreated},
		{"our page", http.MethodPost, "/bookings", "localhost", map[string]string{"Content-Type": "application/json; charset=utf-8", "Sec-Fetch-Site": "same-origin"}, http.StatusCreated},
		{"a page elsewhere", http.MethodPost, "/bookings", "localhost", map[string]string{"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"an old browser elsewhere", http.MethodPost, "/bookings", "localhost", map[string]string{"Content-Type": "application/json", "Origin": "http://evil.example"}, http.StatusForbidden},
		{"a form", http.MethodPost, "/bookings", "localhost", map[string]string{"Content-Type": "text/plain"}, http.StatusUnsupportedMediaType},
		{"another method", http.MethodDelete, "/bookings", "localhost", nil, http.StatusMethodNotAllowed},
		{"no such page", http.MethodGet, "/secret", "localhost", nil, http.StatusNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, test.path, strings.NewReader(body))
			r.Host = test.host
			for name, value := range test.header {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, test.status)
			}
			if policy := w.Header().Get("Content-Security-Policy"); test.status != http.StatusForbidden && !strings.Contains(policy, "default-src 'self'") {
				t.Errorf("the content security policy is %q", policy)
			}
		})
	}
}

// TestLiveUpdates follows the events as the page does: each of a booking's updates comes, and the last one has the row as it is.
func TestLiveUpdates(t *testing.T) {
	p := start(t, nil)
	var mu sync.Mutex
	last := map[string]platform.Row{}
	updates, ids := 0, map[string]bool{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- platform.Follow(ctx, p.URL(), func(e sse.Event) {
			var row platform.Row
			if err := json.Unmarshal(e.Data, &row); err != nil || e.Name != "booking" {
				t.Errorf("event %+v: %v", e, err)
			}
			mu.Lock()
			defer mu.Unlock()
			updates++
			ids[e.ID] = true
			last[row.BookingID] = row
		})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	testenv.Eventually(t, 10*time.Second, func() error {
		if n := p.Pages(); n != 1 {
			return fmt.Errorf("%d pages are connected", n)
		}
		return nil
	})
	if err := p.Fill(t.Context(), 50, nil); err != nil {
		t.Fatal(err)
	}
	p.quiet()
	testenv.Eventually(t, 10*time.Second, func() error {
		mu.Lock()
		defer mu.Unlock()
		if updates != 205 || len(ids) != 205 {
			return fmt.Errorf("%d updates with %d ids, want 205", updates, len(ids))
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	if len(last) != 50 {
		t.Errorf("updates of %d bookings", len(last))
	}
	for id, row := range last {
		if row.Status != "ready" && row.Status != "refunded" {
			t.Errorf("booking %s is %s in the end", id, row.Status)
		}
	}
}

func TestFollowIsRefused(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if err := platform.Follow(t.Context(), server.URL, func(sse.Event) {}); err == nil {
		t.Error("a server without events was followed")
	}
}

// problem is an answer that says what is wrong.
type problem struct {
	Title  string
	Status int
	Errors []platform.Field
}

// request asks the platform for a route, such as "GET /healthz", checks the status, and decodes the answer.
func (p *running) request(t *testing.T, route, body string, status int, into any) {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, p.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := "application/json"
	if _, ok := into.(*problem); ok {
		want = "application/problem+json"
	}
	if resp.StatusCode != status || resp.Header.Get("Content-Type") != want {
		t.Fatalf("%s: got %s, %s, %s; want %d", route, resp.Status, resp.Header.Get("Content-Type"), answer, status)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer, into); err != nil {
		t.Fatalf("%s: %v", route, err)
	}
}
