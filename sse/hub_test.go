package sse_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/sse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEventsReachEveryClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := sse.New(sse.Config{})
		a, b := newRecorder(), newRecorder()
		serve(t.Context(), hub, a, "")
		serve(t.Context(), hub, b, "")
		synctest.Wait()
		publish(t, hub, 1, 2)
		synctest.Wait()
		for _, w := range []*recorder{a, b} {
			if got, want := w.text(), ": connected\n\n"+frames(1, 2); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if got := a.Header().Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("the content type is %q", got)
		}
		hub.Close()
	})
}

func TestClientsResume(t *testing.T) {
	const resync = "event: resync\ndata: {}\n\n"
	for _, test := range []struct{ name, last, want string }{
		{"new", "", ""},
		{"missed some, from the oldest that is kept", "5", frames(6, 7)},
		{"missed none", "7", ""},
		{"too old", "4", "id: 7\n" + resync},
		{"of another run", "x-1", "id: 7\n" + resync},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := sse.New(sse.Config{Keep: 2})
				publish(t, hub, 1, 2, 3, 4, 5, 6, 7)
				w := newRecorder()
				serve(t.Context(), hub, w, test.last)
				synctest.Wait()
				if got := strings.TrimPrefix(w.text(), ": connected\n\n"); got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
				hub.Close()
			})
		})
	}
}

func TestResyncFromAnEmptyHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := sse.New(sse.Config{})
		w := newRecorder()
		serve(t.Context(), hub, w, "9")
		synctest.Wait()
		if got, want := w.text(), ": connected\n\nevent: resync\ndata: {}\n\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		hub.Close()
	})
}

func TestHeartbeatOnlyWhenNothingElseComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := sse.New(sse.Config{Heartbeat: 10 * time.Second})
		w := newRecorder()
		serve(t.Context(), hub, w, "")
		<-time.After(9 * time.Second)
		publish(t, hub, 1)
		<-time.After(9 * time.Second)
		synctest.Wait()
		if strings.Contains(w.text(), "heartbeat") {
			t.Error("a heartbeat came 9 s after an event")
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if !strings.HasSuffix(w.text(), ": heartbeat\n\n") {
			t.Errorf("no heartbeat: %q", w.text())
		}
		hub.Close()
	})
}

func TestSlowClientIsCutOffAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := sse.New(sse.Config{Buffer: 4})
		slow, quick := newRecorder(), newRecorder()
		slowDone := serve(t.Context(), hub, slow, "")
		serve(t.Context(), hub, quick, "")
		synctest.Wait()
		slow.block()
		var sent []int
		for i := range 20 {
			publish(t, hub, i)
			sent = append(sent, i)
			synctest.Wait()
		}
		if got, want := quick.text(), ": connected\n\n"+frames(sent...); got != want {
			t.Errorf("the quick client got %q, want %q", got, want)
		}
		if got := hub.Stats(); got != (sse.Stats{Clients: 1, CutOff: 1}) {
			t.Errorf("stats are %+v", got)
		}
		<-slowDone // its write deadline passes
		hub.Close()
	})
}

func TestTooManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := sse.New(sse.Config{MaxClients: 1})
		ctx, leave := context.WithCancel(t.Context())
		first := serve(ctx, hub, newRecorder(), "")
		synctest.Wait()
		second := newRecorder()
		<-serve(t.Context(), hub, second, "")
		if second.status != http.StatusServiceUnavailable || second.Header().Get("Retry-After") == "" {
			t.Errorf("the second client got %d, %v", second.status, second.Header())
		}
		leave()
		<-first
		third := newRecorder()
		serve(t.Context(), hub, third, "")
		synctest.Wait()
		if !strings.Contains(third.text(), "connected") {
			t.Error("no place after the first client left")
		}
		hub.Close()
	})
}

func TestAServerThatCantCutOffIsRefused(t *testing.T) {
	w := httptest.NewRecorder()
	sse.New(sse.Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestClosedHub(t *testing.T) {
	hub := sse.New(sse.Config{})
	hub.Close()
	hub.Close()
	publish(t, hub, 1)
	w := newRecorder()
	<-serve(t.Context(), hub, w, "")
	if w.status != http.StatusServiceUnavailable {
		t.Errorf("a client of a closed hub got %d", w.status)
	}
}

// TestConcurrently joins, leaves and publishes at once; what a client gets has no gaps.
func TestConcurrently(t *testing.T) {
	hub := sse.New(sse.Config{Keep: 2000, Buffer: 2000})
	publish(t, hub, 0)
	var clients sync.WaitGroup
	recorders := make([]*recorder, 8)
	for i := range recorders {
		recorders[i] = newRecorder()
		clients.Go(func() { <-serve(t.Context(), hub, recorders[i], "0") })
	}
	for i := range 1000 {
		publish(t, hub, i+1)
	}
	for _, w := range recorders {
		w.waitFor(t, "id: 1000\n")
	}
	hub.Close()
	clients.Wait()
	for _, w := range recorders {
		if n := strings.Count(w.text(), "id: "); n != 1000 {
			t.Errorf("a client got %d of 1000 events", n)
		}
	}
}

func publish(t *testing.T, hub *sse.Hub, ids ...int) {
	t.Helper()
	for _, id := range ids {
		if err := hub.Publish(fmt.Sprint(id), "n", fmt.Appendf(nil, "%d", id)); err != nil {
			t.Fatal(err)
		}
	}
}

func frames(ids ...int) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "id: %d\nevent: n\ndata: %d\n\n", id, id)
	}
	return b.String()
}

// serve runs the hub's handler for one client; what it returns is closed at its end.
func serve(ctx context.Context, hub *sse.Hub, w http.ResponseWriter, last string) <-chan struct{} {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		hub.ServeHTTP(w, r)
	}()
	return done
}

// recorder is a ResponseWriter with write deadlines that can be made to block.
type recorder struct {
	header http.Header
	status int

	mu       sync.Mutex
	body     strings.Builder
	blocked  bool
	deadline time.Time
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

func (w *recorder) Header() http.Header             { return w.header }
func (w *recorder) WriteHeader(status int)          { w.status = status }
func (w *recorder) Flush()                          {}
func (w *recorder) SetReadDeadline(time.Time) error { return nil }

func (w *recorder) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	return nil
}

func (w *recorder) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blocked {
		wait := time.Until(w.deadline)
		w.mu.Unlock()
		<-time.After(wait)
		w.mu.Lock()
		return 0, errors.New("write deadline passed")
	}
	return w.body.Write(b)
}

func (w *recorder) block() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blocked = true
}

func (w *recorder) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.body.String()
}

func (w *recorder) waitFor(t *testing.T, text string) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() error {
		if !strings.Contains(w.text(), text) {
			return fmt.Errorf("no %q yet", text)
		}
		return nil
	})
}
