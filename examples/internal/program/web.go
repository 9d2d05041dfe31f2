package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/httpapi"
)

// API is what every example answers over HTTP besides its requests.
type API struct {
	// Description is the OpenAPI document, which is at /openapi.json.
	Description []byte
	// Healthy says whether the program can work, for /healthz.
	Healthy func(ctx context.Context) error
	// Here says where there is nothing at other paths, such as " of role api".
	Here string
	Log  *slog.Logger
}

// Mux answers requests at their paths, and the rest of the API.
func (a API) Mux(requests map[string]http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	for path, handler := range requests {
		mux.Handle(path, handler)
	}
	mux.HandleFunc("GET /openapi.json", func(rw http.ResponseWriter, _ *http.Request) { WriteJSON(rw, a.Description) })
	mux.HandleFunc("GET /healthz", a.health)
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		detail := "there is nothing at " + r.URL.Path + a.Here + ": see /openapi.json"
		httpapi.WriteProblem(rw, httpapi.Problem{Status: http.StatusNotFound, Code: tidings.CodeNotFound, Detail: detail})
	})
	return mux
}

func (a API) health(rw http.ResponseWriter, r *http.Request) {
	if err := a.Healthy(r.Context()); err != nil {
		a.Log.LogAttrs(r.Context(), slog.LevelError, "not healthy", slog.Any("error", err))
		httpapi.WriteProblem(rw, httpapi.Problem{Status: http.StatusServiceUnavailable, Code: tidings.CodeUnavailable})
		return
	}
	WriteJSON(rw, []byte(`{"status":"ok"}`+"\n"))
}

// WriteJSON answers with JSON.
func WriteJSON(rw http.ResponseWriter, data []byte) {
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(data) // an error means that the client has left
}

// Server is a web server, to be started and stopped once: by hand, or by a module (OnStart and OnStop).
type Server struct {
	addr     string
	log      *slog.Logger
	server   *http.Server
	listener net.Listener
	served   chan struct{}
}

// NewServer makes a server that will listen at addr, where port 0 is any free one.
func NewServer(addr string, handler http.Handler, log *slog.Logger) *Server {
	return &Server{addr: addr, log: log, served: make(chan struct{}), server: &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute,
	}}
}

// Start listens, and serves until Stop.
func (s *Server) Start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listen on %s (--addr): %w", s.addr, err)
	}
	s.listener = listener
	go func() {
		defer close(s.served)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.LogAttrs(ctx, slog.LevelError, "the web server ended", slog.Any("error", err))
		}
	}()
	return nil
}

// Stop lets running requests finish. It does nothing when the server was not started.
func (s *Server) Stop(ctx context.Context) error {
	if s.listener == nil {
		return nil
	}
	err := s.server.Shutdown(ctx)
	<-s.served
	return err
}

// URL is where it listens.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }
