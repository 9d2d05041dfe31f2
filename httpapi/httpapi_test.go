package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/httpapi"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bookSeats struct {
	Show  string `json:"show"`
	Seats int    `json:"seats,omitempty"`
}

func (b bookSeats) Validate() error {
	if b.Seats < 0 {
		return errors.New("seats: want one or more")
	}
	return nil
}

type booking struct {
	Number int `json:"number"`
}

var (
	book   = tidings.DefineRequest[bookSeats, booking]("box", "BookSeats", "v1")
	absent = tidings.DefineRequest[bookSeats, booking]("box", "Absent", "v1")
	odd    = tidings.DefineRequest[bookSeats, chan int]("box", "Odd", "v1")
)

// start runs an app that serves book: the show names the error.
func start(t *testing.T) *tidings.App {
	t.Helper()
	b := memory.New(memory.Config{})
	app := tidings.New(tidings.Config{Service: "box", Broker: b, Store: memorystore.New(), Log: slog.New(slog.DiscardHandler)})
	number := 0
	app.Serve(tidings.HandleTx(book, func(_ context.Context, _ *memorystore.Tx, b bookSeats) (booking, tidings.Events, error) {
		switch b.Show {
		case "Hamlet":
			number++
			return booking{number}, nil, nil
		case "plain":
			return booking{}, nil, errors.New("secret")
		case "slow":
			return booking{}, nil, context.DeadlineExceeded
		}
		return booking{}, nil, fmt.Errorf("no luck: %w", tidings.Code(b.Show))
	}), tidings.Serve(odd, func(context.Context, bookSeats) (chan int, error) { return make(chan int), nil }))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	select {
	case <-app.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, b.Close()); err != nil {
			t.Error(err)
		}
	})
	return app
}

// exchange posts a body and returns the status and the body that came.
func exchange(t *testing.T, h http.Handler, body string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/bookings", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	want := "application/json"
	if w.Code != http.StatusOK {
		want = "application/problem+json"
		var p httpapi.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Title != http.StatusText(w.Code) || p.Code == "" {
			t.Errorf("status %d with the problem %s: %v", w.Code, w.Body, err)
		}
	}
	if got := w.Header().Get("Content-Type"); got != want {
		t.Errorf("status %d with the content type %q", w.Code, got)
	}
	return w.Code, strings.TrimSpace(w.Body.String())
}

func header(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[name] = values }
}

func TestHandler(t *testing.T) {
	t.Parallel()
	app := start(t)
	h := httpapi.Handler(app, book, httpapi.Config{MaxBytes: 100, Status: map[tidings.Code]int{"teapot": http.StatusTeapot}, Log: slog.New(slog.DiscardHandler)})
	method := func(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }
	for _, test := range []struct {
		name, body string
		change     func(*http.Request)
		status     int
		want       string
	}{
		{"an answer", `{"show":"Hamlet","seats":1}`, nil, 200, `{"number":1}`},
		{"denied", `{"show":"denied"}`, nil, 403, `{"title":"Forbidden","status":403,"code":"denied","detail":"no luck"}`},
		{"not found", `{"show":"not-found"}`, nil, 404, `no luck`},
		{"conflict", `{"show":"conflict"}`, nil, 409, `no luck`},
		{"an own code", `{"show":"sold-out"}`, nil, 422, `"code":"sold-out"`},
		{"an own status", `{"show":"teapot"}`, nil, 418, `"code":"teapot"`},
		{"unavailable", `{"show":"unavailable"}`, nil, 503, `"code":"unavailable"`},
		{"internal", `{"show":"plain"}`, nil, 500, `{"title":"Internal Server Error","status":500,"code":"internal"}`},
		{"invalid", `{"show":"Hamlet","seats":-1}`, nil, 400, `"detail":"seats: want one or more"`},
		{"a misspelt field", `{"show":"Hamlet","seat":1}`, nil, 400, `unknown field \"seat\"`},
		{"another type", `{"show":1}`, nil, 400, `cannot unmarshal number`},
		{"broken JSON", `{"show":`, nil, 400, `unexpected EOF`},
		{"nothing", ``, nil, 400, `the body is empty`},
		{"two values", `{"show":"Hamlet"} {}`, nil, 400, `something after the JSON value`},
		{"too large", `{"show":"` + strings.Repeat("x", 200) + `"}`, nil, 413, `larger than 100 bytes`},
		{"too large after the value", `{"show":"Hamlet"}` + strings.Repeat(" ", 200), nil, 413, `larger than 100 bytes`},
		{"GET", ``, method(http.MethodGet), 405, `want POST, not GET`},
		{"a form", `show=Hamlet`, header("Content-Type", "application/x-www-form-urlencoded"), 415, `Content-Type: application/json`},
		{"no content type", `{}`, header("Content-Type"), 415, `Content-Type: application/json`},
		{"two keys", `{}`, header("Idempotency-Key", "a", "b"), 400, `more than once`},
		{"an empty key", `{}`, header("Idempotency-Key", `""`), 400, `is empty`},
		{"an impossible key", `{"show":"Hamlet"}`, header("Idempotency-Key", "a b"), 400, `without spaces`},
	} {
		if test.change == nil {
			test.change = func(*http.Request) {}
		}
		if status, body := exchange(t, h, test.body, test.change); status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d, %s", test.name, status, body)
		}
	}
}

func TestUnknownFieldsMayBeAccepted(t *testing.T) {
	t.Parallel()
	h := httpapi.Handler(start(t), book, httpapi.Config{UnknownFields: true})
	if status, body := exchange(t, h, `{"show":"Hamlet","comment":"aisle"}`); status != http.StatusOK {
		t.Errorf("%d, %s", status, body)
	}
}

func TestTheSameKeyHasTheSameAnswer(t *testing.T) {
	t.Parallel()
	h := httpapi.Handler(start(t), book, httpapi.Config{})
	for _, key := range []string{"k-1", `"k-1"`, "k-1"} {
		if status, body := exchange(t, h, `{"show":"Hamlet"}`, header("Idempotency-Key", key)); status != http.StatusOK || body != `{"number":1}` {
			t.Errorf("key %s: %d, %s", key, status, body)
		}
	}
	if status, _ := exchange(t, h, `{"show":"Macbeth"}`, header("Idempotency-Key", "k-1")); status != http.StatusConflict {
		t.Errorf("the key with another command: %d", status)
	}
	if status, body := exchange(t, h, `{"show":"Hamlet"}`); status != http.StatusOK || body != `{"number":2}` {
		t.Errorf("no key: %d, %s", status, body)
	}
}

// What clients are not told is in the log.
func TestOurOwnFaultIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	cfg := httpapi.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}
	app := start(t)
	if status, body := exchange(t, httpapi.Handler(app, book, cfg), `{"show":"plain"}`); status != 500 || strings.Contains(body, "secret") || !strings.Contains(log.String(), "secret") {
		t.Errorf("%d, %s; log %s", status, body, &log)
	}
	if status, _ := exchange(t, httpapi.Handler(app, absent, cfg), `{}`); status != http.StatusServiceUnavailable {
		t.Errorf("unserved: %d", status)
	}
	if status, _ := exchange(t, httpapi.Handler(app, odd, cfg), `{}`); status != http.StatusInternalServerError {
		t.Errorf("an answer that is no JSON: %d", status)
	}
	expired := func(r *http.Request) {
		ctx, cancel := context.WithDeadline(r.Context(), time.Now().Add(-time.Second))
		cancel()
		*r = *r.WithContext(ctx)
	}
	if status, _ := exchange(t, httpapi.Handler(app, book, cfg), `{"show":"slow"}`, expired); status != http.StatusGatewayTimeout {
		t.Errorf("too late: %d", status)
	}
}

func FuzzHandler(f *testing.F) {
	app := tidings.New(tidings.Config{Service: "box"})
	h := httpapi.Handler(app, absent, httpapi.Config{Log: slog.New(slog.DiscardHandler)})
	for _, body := range []string{"", "{}", `{"show":"x"}`, `{"show":1}`, "[", `{} {}`} {
		f.Add(body, "application/json", "")
	}
	f.Add(`{}`, "text/plain", `"`)
	f.Fuzz(func(t *testing.T, body, contentType, key string) {
		status, answer := exchange(t, h, body, header("Content-Type", contentType), header("Idempotency-Key", key))
		if status != 400 && status != 415 && status != 503 {
			t.Errorf("%d, %s", status, answer)
		}
	})
}
