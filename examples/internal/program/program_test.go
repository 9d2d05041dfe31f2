package program_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/internal/program"
)

// app is one that runs, with a module that starts as told.
func app(t *testing.T, service string, start func(ctx context.Context) error) *tidings.App {
	t.Helper()
	b := memory.New(memory.Config{})
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	a := tidings.New(tidings.Config{Service: service, Broker: b, Log: slog.New(slog.DiscardHandler)})
	a.AddModule("first").OnStart(start)
	return a
}

func fine(context.Context) error { return nil }

func TestAppsRunWhileThereIsWork(t *testing.T) {
	no := errors.New("no")
	for _, want := range []error{nil, no} {
		one, two := app(t, "one", fine), app(t, "two", fine)
		err := program.During(t.Context(), func(ctx context.Context) error {
			<-one.Ready()
			<-two.Ready()
			return errors.Join(want, ctx.Err())
		}, one, two)
		if !errors.Is(err, want) {
			t.Errorf("it ended with %v, want %v", err, want)
		}
	}
}

func TestOneThatFailsEndsAll(t *testing.T) {
	no := errors.New("no")
	one := app(t, "one", fine)
	err := program.During(t.Context(), func(context.Context) error { t.Error("it works"); return nil }, one, app(t, "two", func(context.Context) error { return no }))
	if !errors.Is(err, no) {
		t.Errorf("it ended with %v", err)
	}
}

func TestWorkEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := program.During(ctx, func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return nil
	}, app(t, "one", fine))
	if err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// summary is one of a test.
type summary struct {
	Requests int `json:"requests"`
	program.Speed
	wrong bool
}

func (s summary) String() string { return "in " + s.Speed.String() }
func (s summary) Fine() bool     { return !s.wrong }

func TestSummaries(t *testing.T) {
	took := []time.Duration{9 * time.Millisecond, time.Millisecond, 2 * time.Millisecond}
	s := summary{Requests: 3, Speed: program.SpeedOf(took, 2*time.Second)}
	for format, want := range map[string]string{
		"text": "in 2.0 s: 2 per second, median 2.0 ms, 99% within 9.0 ms",
		"json": `{"requests":3,"seconds":2,"per_second":1.5,"median_ms":2,"p99_ms":9}` + "\n",
	} {
		var f program.Flags
		var out bytes.Buffer
		if err := f.Parse(flag.NewFlagSet("test", flag.ContinueOnError), []string{"-o", format}); err != nil {
			t.Fatal(err)
		}
		if err := f.Print(&out, s); err != nil || out.String() != want {
			t.Errorf("%s: %v, %s", format, err, &out)
		}
	}
	s.wrong = true
	if err := new(program.Flags).Print(io.Discard, s); !errors.Is(err, program.ErrWrong) {
		t.Errorf("something wrong: %v", err)
	}
	if got := program.SpeedOf(nil, time.Second); got.PerSecond != 0 || got.P99 != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestTheServer(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	api := program.API{Description: []byte(`{"openapi":"3.1.0"}`), Healthy: func(context.Context) error { return errors.New("no database") }, Here: " of the test", Log: log}
	s := program.NewServer("127.0.0.1:0", api.Mux(map[string]http.Handler{"/echo": http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(rw, r.Body)
		_, _ = io.WriteString(rw, r.Header.Get("Idempotency-Key"))
	})}), log)
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stopped before it was started: %v", err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := program.Client(1)
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/echo":    {200, `"hello"key`},
		"/healthz": {503, ""},
		"/nowhere": {404, "there is nothing at /nowhere of the test: see /openapi.json"},
	} {
		if path == "/healthz" { // it is got, not posted
			response, err := client.Get(s.URL() + path)
			if err != nil || response.StatusCode != want.status || response.Body.Close() != nil {
				t.Errorf("%s: %v, %v", path, response, err)
			}
			continue
		}
		status, answer, err := program.Post(t.Context(), client, s.URL()+path, "key", "hello")
		if status != want.status || (err == nil) != (status == 200) || !strings.Contains(string(answer), want.body) {
			t.Errorf("%s: %d %s, %v", path, status, answer, err)
		}
	}
	client.CloseIdleConnections()
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if status, _, err := program.Post(t.Context(), client, s.URL()+"/echo", "", "hello"); status != 0 || err == nil {
		t.Errorf("after its end: %d, %v", status, err)
	}
}
