package main

import (
	"context"
	_ "embed" // for the API's description
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
	"github.com/tidings-go/tidings/examples/cashiers/notifications"
	"github.com/tidings-go/tidings/httpapi"
)

//go:embed openapi.json
var openAPI []byte

// web answers HTTP requests for the services of this process. It is a module of the first of them, which starts last and stops first.
type web struct {
	*system
	server   *http.Server
	listener net.Listener
	served   chan struct{}
}

func addWeb(s *system) *web {
	w := &web{system: s, served: make(chan struct{})}
	after := []string{"appdomain", "invoicing"}
	if s.Role == notifier {
		after = []string{"notifications"}
	}
	m := s.apps[0].AddModule("web", after...)
	m.OnStart(w.start)
	m.OnStop(w.stop)
	return w
}

// requests are the paths at which requests can be posted.
func (w *web) requests() map[string]http.Handler {
	c, paths := httpapi.Config{Log: w.Log}, map[string]http.Handler{}
	if w.Role != notifier {
		maps.Copy(paths, map[string]http.Handler{
			"/cashiers":          httpapi.Handler(w.cashiers, appdomain.CreateCashier, c),
			"/cashiers/delete":   httpapi.Handler(w.cashiers, appdomain.DeleteCashier, c),
			"/users":             httpapi.Handler(w.cashiers, appdomain.CreateUser, c),
			"/invoices":          httpapi.Handler(w.cashiers, invoicing.CreateInvoice, c),
			"/invoices/pay":      httpapi.Handler(w.cashiers, invoicing.PayInvoice, c),
			"/invoices/find":     httpapi.Handler(w.cashiers, invoicing.FindInvoice, c),
			"/inventory/restock": httpapi.Handler(w.cashiers, invoicing.Restock, c),
		})
	}
	if w.Role != api {
		maps.Copy(paths, map[string]http.Handler{
			"/mails":      httpapi.Handler(w.notifications, notifications.LatestMails, c),
			"/statements": httpapi.Handler(w.notifications, notifications.ReadStatement, c),
		})
	}
	return paths
}

func (w *web) handler() http.Handler {
	mux := http.NewServeMux()
	for path, handler := range w.requests() {
		mux.Handle(path, handler)
	}
	mux.HandleFunc("GET /openapi.json", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write(openAPI) // an error means that the client has left
	})
	mux.HandleFunc("GET /healthz", w.health)
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		problem(rw, httpapi.Problem{Status: http.StatusNotFound, Code: tidings.CodeNotFound, Detail: "there is nothing at " + r.URL.Path + " of role " + string(w.Role) + ": see /openapi.json"})
	})
	return mux
}

// health is fine when the database answers.
func (w *web) health(rw http.ResponseWriter, r *http.Request) {
	if err := w.DB.PingContext(r.Context()); err != nil {
		w.Log.LogAttrs(r.Context(), slog.LevelError, "not healthy", slog.Any("error", err))
		problem(rw, httpapi.Problem{Status: http.StatusServiceUnavailable, Code: tidings.CodeUnavailable})
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write([]byte(`{"status":"ok"}` + "\n")) // an error means that the client has left
}

func problem(rw http.ResponseWriter, p httpapi.Problem) {
	p.Title = http.StatusText(p.Status)
	rw.Header().Set("Content-Type", "application/problem+json")
	rw.WriteHeader(p.Status)
	_ = json.NewEncoder(rw).Encode(p) // an error means that the client has left
}

func (w *web) start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", w.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s (--addr): %w", w.Addr, err)
	}
	w.listener = listener
	w.server = &http.Server{Handler: w.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() {
		defer close(w.served)
		if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			w.Log.LogAttrs(ctx, slog.LevelError, "the web server ended", slog.Any("error", err))
		}
	}()
	return nil
}

// stop lets running requests finish.
func (w *web) stop(ctx context.Context) error {
	if w.server == nil {
		return nil
	}
	err := w.server.Shutdown(ctx)
	<-w.served
	return err
}

func (w *web) url() string { return "http://" + w.listener.Addr().String() }
