package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/examples/delivery/audit"
	"github.com/tidings-go/tidings/examples/delivery/notification"
	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/examples/delivery/payment"
	"github.com/tidings-go/tidings/examples/delivery/tracking"
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
	web *web
}

// newSystem makes the tables and wires the modules.
func newSystem(ctx context.Context, cfg config) (*system, error) {
	if err := makeTables(ctx, cfg.Connection); err != nil {
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

// makeTables makes the modules' tables. In PostgreSQL two processes that make a table at the same moment can collide, though both say IF NOT EXISTS: who has
// lost finds it made when it tries again.
func makeTables(ctx context.Context, c *connect.Connection) error {
	const tries = 3
	var err error
	for range tries {
		err = nil
		for _, schema := range []string{order.Schema, tracking.Schema, payment.Schema, audit.Schema} {
			for statement := range strings.SplitSeq(schema, ";\n") {
				_, failed := c.DB.ExecContext(ctx, statement)
				err = errors.Join(err, failed)
			}
		}
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("make the tables: %w", err)
}

// during runs the system, calls work when everything has started, and ends the system when work has ended.
func (s *system) during(ctx context.Context, work func(ctx context.Context) error) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.app.Run(running) }()
	select {
	case <-s.app.Ready():
	case err := <-ended:
		return err
	case <-ctx.Done():
		stop()
		return <-ended
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	select {
	case err := <-ended: // it has failed
		cancel(err)
		return errors.Join(err, <-done)
	case err := <-done:
		stop()
		return errors.Join(err, <-ended)
	}
}
