package main

import (
	"context"
	_ "embed" // for the API's description
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/examples/shop/reader"
	"github.com/tidings-go/tidings/httpapi"
)

//go:embed openapi.json
var openAPI []byte

// web answers HTTP requests for the services that run in this process.
type web struct {
	shop     *shop
	server   *http.Server
	listener net.Listener
	served   chan struct{}
}

// requests are the paths at which requests can be posted.
func (w *web) requests() map[string]http.Handler {
	c := httpapi.Config{Log: w.shop.Log}
	paths := map[string]http.Handler{}
	if s := w.shop.service(customers); s != nil {
		paths["/customers"] = httpapi.Handler(s.app, customer.CreateCustomer, c)
		paths["/customers/update"] = httpapi.Handler(s.app, customer.UpdateCustomer, c)
		paths["/customers/delete"] = httpapi.Handler(s.app, customer.DeleteCustomer, c)
		paths["/customers/find"] = httpapi.Handler(s.app, customer.FindCustomer, c)
		paths["/customers/publish"] = httpapi.Handler(s.app, publishRaw, c)
	}
	if s := w.shop.service(products); s != nil {
		paths["/products"] = httpapi.Handler(s.app, product.CreateProduct, c)
		paths["/products/update"] = httpapi.Handler(s.app, product.UpdateProduct, c)
		paths["/products/delete"] = httpapi.Handler(s.app, product.DeleteProduct, c)
		paths["/products/find"] = httpapi.Handler(s.app, product.FindProduct, c)
		paths["/products/view"] = httpapi.Handler(s.app, product.ViewProduct, c)
		paths["/products/publish"] = httpapi.Handler(s.app, publishRaw, c)
	}
	if s := w.shop.service(readers); s != nil {
		paths["/reader/find"] = httpapi.Handler(s.app, reader.FindEntry, c)
	}
	return paths
}

func (w *web) handler() http.Handler {
	mux := http.NewServeMux()
	for path, handler := range w.requests() {
		mux.Handle(path, handler)
	}
	mux.HandleFunc("GET /openapi.json", func(rw http.ResponseWriter, _ *http.Request) { answer(rw, openAPI) })
	mux.HandleFunc("GET /services", w.services)
	mux.HandleFunc("GET /healthz", w.health)
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		httpapi.WriteProblem(rw, httpapi.Problem{
			Status: http.StatusNotFound, Code: tidings.CodeNotFound,
			Detail: fmt.Sprintf("there is nothing at %s in the process of %v: see /openapi.json", r.URL.Path, w.shop.Roles),
		})
	})
	return mux
}

// services says what runs here, which topics each service writes to, and which it reads.
func (w *web) services(rw http.ResponseWriter, _ *http.Request) {
	type described struct {
		Service string   `json:"service"`
		Writes  []string `json:"writes,omitempty"`
		Reads   []string `json:"reads,omitempty"`
	}
	var list []described
	for _, s := range w.shop.services {
		writes, reads := topicsOf(s.app)
		list = append(list, described{s.app.Name(), writes, reads})
	}
	data, err := json.Marshal(list)
	if err != nil { // strings always can
		data = nil
	}
	answer(rw, append(data, '\n'))
}

// health is fine when the databases answer.
func (w *web) health(rw http.ResponseWriter, r *http.Request) {
	for _, s := range w.shop.services {
		if err := s.DB.PingContext(r.Context()); err != nil {
			w.shop.Log.LogAttrs(r.Context(), slog.LevelError, "not healthy", slog.String("service", s.app.Name()), slog.Any("error", err))
			httpapi.WriteProblem(rw, httpapi.Problem{Status: http.StatusServiceUnavailable, Code: tidings.CodeUnavailable})
			return
		}
	}
	answer(rw, []byte(`{"status":"ok"}`+"\n"))
}

func answer(rw http.ResponseWriter, data []byte) {
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(data) // an error means that the client has left
}

func (w *web) start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", w.shop.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s (--addr): %w", w.shop.Addr, err)
	}
	w.listener, w.served = listener, make(chan struct{})
	w.server = &http.Server{Handler: w.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() {
		defer close(w.served)
		if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			w.shop.Log.LogAttrs(ctx, slog.LevelError, "the web server ended", slog.Any("error", err))
		}
	}()
	return nil
}

// stop lets running requests finish.
func (w *web) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := w.server.Shutdown(ctx)
	<-w.served
	return err
}

func (w *web) url() string { return "http://" + w.listener.Addr().String() }
