package platform

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

//go:embed web
var files embed.FS

// web serves the page and the API. It is a module like the others: it starts when everything else reads, and stops before.
type web struct {
	platform *Platform
	server   *http.Server
	listener net.Listener
	served   chan struct{}
}

func addWeb(p *Platform) *web {
	w := &web{platform: p, served: make(chan struct{})}
	m := p.app.AddModule("web", "bookings", "refunds", "ops")
	m.OnStart(w.start)
	m.OnStop(w.stop)
	return w
}

// Handler serves page and API, for who has a server already.
func (p *Platform) Handler() http.Handler {
	mux := http.NewServeMux()
	for route, handler := range (&api{p}).routes() {
		mux.Handle(route, handler)
	}
	page, err := fs.Sub(files, "web")
	if err == nil { // the folder is compiled in
		mux.Handle("GET /", http.FileServerFS(page))
	}
	// Browsers may write from this page only, though they send what any page tells them to.
	protect := http.NewCrossOriginProtection()
	protect.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, "this request came from a page of another site")
	}))
	return secure(p.hosts(), protect.Handler(mux))
}

func (w *web) start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", w.platform.cfg.Addr)
	if err != nil {
		return fmt.Errorf("tickets: listen on %s (Config.Addr, --addr): %w", w.platform.cfg.Addr, err)
	}
	w.listener = listener
	w.server = &http.Server{
		Handler:           w.platform.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(w.platform.log.Handler(), slog.LevelWarn),
	}
	w.server.RegisterOnShutdown(w.platform.ops.hub.Close)
	go func() {
		defer close(w.served)
		if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			w.platform.log.LogAttrs(ctx, slog.LevelError, "the web server ended", slog.Any("error", err))
		}
	}()
	return nil
}

// stop lets running requests finish.
func (w *web) stop(ctx context.Context) error {
	if w.server == nil {
		return nil
	}
	// A request that takes longer than this is half sent, or gone.
	patient, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err := w.server.Shutdown(patient)
	if errors.Is(err, context.DeadlineExceeded) {
		err = w.server.Close()
	}
	<-w.served
	if err != nil {
		return fmt.Errorf("tickets: stop the web server: %w", err)
	}
	return nil
}

func (w *web) url() string {
	if w.listener == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(w.listener.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return "http://" + net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + w.listener.Addr().String()
}

// hosts are the names under which the page may be asked for. A page of another site whose name was made to point here has another name.
func (p *Platform) hosts() []string {
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, p.cfg.Hosts...)
	if host, _, err := net.SplitHostPort(p.cfg.Addr); err == nil && host != "" {
		hosts = append(hosts, host)
	}
	return hosts
}

// localIP is the address of this machine that a request came to. A foreign page's name is never an address.
func localIP(r *http.Request) string {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return ""
	}
	return addr.IP.String()
}

// secure refuses foreign host names and tells the browser to load nothing from elsewhere.
func secure(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.ToLower(strings.Trim(host, "[]"))
		if !slices.Contains(hosts, host) && (host == "" || host != localIP(r)) {
			refuse(w, "this host name is not served: ask for localhost, or add the name to Config.Hosts")
			return
		}
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, why string) {
	writeProblem(w, problem{Title: http.StatusText(http.StatusForbidden), Status: http.StatusForbidden, Detail: why})
}
