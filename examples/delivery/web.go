package main

import (
	"context"
	_ "embed" // for the API's description
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/delivery/audit"
	"github.com/tidings-go/tidings/examples/delivery/notification"
	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/examples/delivery/payment"
	"github.com/tidings-go/tidings/examples/delivery/tracking"
	"github.com/tidings-go/tidings/httpapi"
)

//go:embed openapi.json
var openAPI []byte

// web answers HTTP requests. It is a module like the others, which starts last and stops first.
type web struct {
	module   *tidings.Module
	cfg      config
	server   *http.Server
	listener net.Listener
	served   chan struct{}
}

func addWeb(app *tidings.App, cfg config) *web {
	w := &web{cfg: cfg, module: app.AddModule("web", "order", "tracking", "payment", "notification", "audit"), served: make(chan struct{})}
	w.module.OnStart(w.start)
	w.module.OnStop(w.stop)
	return w
}

// requests are the paths at which requests can be posted.
func (w *web) requests() map[string]http.Handler {
	c := httpapi.Config{Log: w.cfg.Log}
	return map[string]http.Handler{
		"/orders":        httpapi.Handler(w.module, order.CreateOrder, c),
		"/orders/find":   httpapi.Handler(w.module, order.FindOrder, c),
		"/orders/ship":   httpapi.Handler(w.module, order.ShipParcel, c),
		"/orders/cancel": httpapi.Handler(w.module, order.CancelOrder, c),
		"/orders/move":   httpapi.Handler(w.module, order.MoveParcel, c),
		"/tracking":      httpapi.Handler(w.module, tracking.TrackOrder, c),
		"/payments":      httpapi.Handler(w.module, payment.PayOrder, c),
		"/notifications": httpapi.Handler(w.module, notification.LatestNotices, c),
		"/audit":         httpapi.Handler(w.module, audit.LatestEntries, c),
		"/audit/close":   httpapi.Handler(w.module, audit.CloseLedger, c),
	}
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
		httpapi.WriteProblem(rw, httpapi.Problem{Status: http.StatusNotFound, Code: tidings.CodeNotFound, Detail: "there is nothing at " + r.URL.Path + ": see /openapi.json"})
	})
	return mux
}

// health is fine when the database answers.
func (w *web) health(rw http.ResponseWriter, r *http.Request) {
	if err := w.cfg.DB.PingContext(r.Context()); err != nil {
		w.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "not healthy", slog.Any("error", err))
		httpapi.WriteProblem(rw, httpapi.Problem{Status: http.StatusServiceUnavailable, Code: tidings.CodeUnavailable})
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write([]byte(`{"status":"ok"}` + "\n")) // an error means that the client has left
}

func (w *web) start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", w.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s (--addr): %w", w.cfg.Addr, err)
	}
	w.listener = listener
	w.server = &http.Server{Handler: w.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() {
		defer close(w.served)
		if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			w.cfg.Log.LogAttrs(ctx, slog.LevelError, "the web server ended", slog.Any("error", err))
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
