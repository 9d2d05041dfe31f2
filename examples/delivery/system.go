package main

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/examples/delivery/audit"
	"github.com/tidings-go/tidings/examples/delivery/notification"
	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/examples/delivery/payment"
	"github.com/tidings-go/tidings/examples/delivery/tracking"
	"github.com/tidings-go/tidings/examples/internal/program"
)

// config is what a system needs.
type config struct {
	*connect.Connection
	// Env begins the names of topics: systems that share a broker need different ones.
	Env string
	// AuditWait is how long the audit lets an order wait for others. Default 5 s.
	AuditWait time.Duration
	Addr      string
	Log       *slog.Logger
}

// system is the whole: one app made of modules.
type system struct {
	config
	app *tidings.App
	web *program.Server
}

// newSystem makes the tables and wires the modules.
func newSystem(ctx context.Context, cfg config) (*system, error) {
	if err := makeTables(ctx, cfg.DB); err != nil {
		return nil, err
	}
	s := &system{config: cfg, app: newApp(cfg)}
	for _, add := range modules(cfg) {
		add(s.app)
	}
	s.web = addWeb(s.app, cfg)
	return s, nil
}

func newApp(cfg config) *tidings.App {
	return tidings.New(tidings.Config{
		Service: "delivery", Broker: cfg.Broker, Store: cfg.Store, Topology: tidings.Scoped{Env: cfg.Env}, Log: cfg.Log,
	})
}

// modules are the modules, which may be added in any order.
func modules(cfg config) []func(app *tidings.App) {
	return []func(app *tidings.App){
		func(app *tidings.App) { order.Add(app, cfg.DB, cfg.Log) },
		func(app *tidings.App) { tracking.Add(app, cfg.DB) },
		func(app *tidings.App) { payment.Add(app) },
		func(app *tidings.App) { notification.Add(app, cfg.Log) },
		func(app *tidings.App) { audit.Add(app, audit.Config{DB: cfg.DB, Wait: cfg.AuditWait, Log: cfg.Log}) },
	}
}

// makeTables makes the modules' tables.
func makeTables(ctx context.Context, db *sql.DB) error {
	return program.MakeTables(ctx, db, order.Schema, tracking.Schema, payment.Schema, audit.Schema)
}

// during runs the system, calls work when everything has started, and ends the system when work has ended.
func (s *system) during(ctx context.Context, work func(ctx context.Context) error) error {
	return program.During(ctx, work, s.app)
}
