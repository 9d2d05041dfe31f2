package main

import (
	_ "embed" // for the API's description
	"log/slog"
	"net/http"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/delivery/audit"
	"github.com/tidings-go/tidings/examples/delivery/notification"
	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/examples/delivery/payment"
	"github.com/tidings-go/tidings/examples/delivery/tracking"
	"github.com/tidings-go/tidings/examples/internal/program"
	"github.com/tidings-go/tidings/httpapi"
)

//go:embed openapi.json
var openAPI []byte

// addWeb answers HTTP requests. It is a module like the others, which starts last and stops first.
func addWeb(app *tidings.App, cfg config) *program.Server {
	m := app.AddModule("web", "order", "tracking", "payment", "notification", "audit")
	api := program.API{Description: openAPI, Healthy: cfg.DB.PingContext, Log: cfg.Log}
	s := program.NewServer(cfg.Addr, api.Mux(requests(m, cfg.Log)), cfg.Log)
	m.OnStart(s.Start)
	m.OnStop(s.Stop)
	return s
}

// requests are the paths at which requests can be posted.
func requests(h tidings.Host, log *slog.Logger) map[string]http.Handler {
	c := httpapi.Config{Log: log}
	return map[string]http.Handler{
		"/orders":        httpapi.Handler(h, order.CreateOrder, c),
		"/orders/find":   httpapi.Handler(h, order.FindOrder, c),
		"/orders/ship":   httpapi.Handler(h, order.ShipParcel, c),
		"/orders/cancel": httpapi.Handler(h, order.CancelOrder, c),
		"/orders/move":   httpapi.Handler(h, order.MoveParcel, c),
		"/tracking":      httpapi.Handler(h, tracking.TrackOrder, c),
		"/payments":      httpapi.Handler(h, payment.PayOrder, c),
		"/notifications": httpapi.Handler(h, notification.LatestNotices, c),
		"/audit":         httpapi.Handler(h, audit.LatestEntries, c),
		"/audit/close":   httpapi.Handler(h, audit.CloseLedger, c),
	}
}
