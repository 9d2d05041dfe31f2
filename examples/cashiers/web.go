package main

import (
	_ "embed" // for the API's description
	"maps"
	"net/http"

	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
	"github.com/tidings-go/tidings/examples/cashiers/notifications"
	"github.com/tidings-go/tidings/examples/internal/program"
	"github.com/tidings-go/tidings/httpapi"
)

//go:embed openapi.json
var openAPI []byte

// addWeb answers HTTP requests for the services of this process. It is a module of the first of them, which starts last and stops first.
func addWeb(s *system) *program.Server {
	after := []string{"appdomain", "invoicing"}
	if s.Role == notifier {
		after = []string{"notifications"}
	}
	api := program.API{Description: openAPI, Healthy: s.DB.PingContext, Here: " of role " + string(s.Role), Log: s.Log}
	server := program.NewServer(s.Addr, api.Mux(s.requests()), s.Log)
	m := s.apps[0].AddModule("web", after...)
	m.OnStart(server.Start)
	m.OnStop(server.Stop)
	return server
}

// requests are the paths at which requests can be posted.
func (s *system) requests() map[string]http.Handler {
	c, paths := httpapi.Config{Log: s.Log}, map[string]http.Handler{}
	if s.Role != notifier {
		maps.Copy(paths, map[string]http.Handler{
			"/cashiers":          httpapi.Handler(s.cashiers, appdomain.CreateCashier, c),
			"/cashiers/delete":   httpapi.Handler(s.cashiers, appdomain.DeleteCashier, c),
			"/users":             httpapi.Handler(s.cashiers, appdomain.CreateUser, c),
			"/invoices":          httpapi.Handler(s.cashiers, invoicing.CreateInvoice, c),
			"/invoices/pay":      httpapi.Handler(s.cashiers, invoicing.PayInvoice, c),
			"/invoices/find":     httpapi.Handler(s.cashiers, invoicing.FindInvoice, c),
			"/inventory/restock": httpapi.Handler(s.cashiers, invoicing.Restock, c),
		})
	}
	if s.Role != api {
		maps.Copy(paths, map[string]http.Handler{
			"/mails":      httpapi.Handler(s.notifications, notifications.LatestMails, c),
			"/statements": httpapi.Handler(s.notifications, notifications.ReadStatement, c),
		})
	}
	return paths
}
