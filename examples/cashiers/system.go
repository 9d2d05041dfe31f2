package main

import (
	"context"
	"database/sql"
	"log/slog"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
	"github.com/tidings-go/tidings/examples/cashiers/notifications"
	"github.com/tidings-go/tidings/examples/internal/program"
)

// role says which services a process runs.
type role string

const (
	all      role = "all"
	api      role = "api"
	notifier role = "notifications"
)

// config is what a system needs.
type config struct {
	*connect.Connection
	// Env begins the names of topics and ends those of services, and so of consumer groups: systems that share a broker need different ones.
	Env  string
	Role role
	// Mailer sends mails. Default: they are logged.
	Mailer    notifications.Mailer
	MailRetry tidings.Retry
	Addr      string
	Log       *slog.Logger
}

// system is two services, of which this process runs one or both. Each has tables of its own; they share a database, so that one report can read everything back.
type system struct {
	config
	cashiers, notifications *tidings.App
	// apps are those that this process runs.
	apps []*tidings.App
	web  *program.Server
}

// newSystem makes the tables and wires the services.
func newSystem(ctx context.Context, cfg config) (*system, error) {
	if err := makeTables(ctx, cfg.DB); err != nil {
		return nil, err
	}
	s := &system{config: cfg}
	s.cashiers = s.newApp("cashiers")
	appdomain.Add(s.cashiers)
	invoicing.Add(s.cashiers, cfg.DB)
	s.notifications = s.newApp("notifications")
	notifications.Add(s.notifications, notifications.Config{DB: cfg.DB, Mailer: cfg.Mailer, Retry: cfg.MailRetry, Log: cfg.Log})
	switch cfg.Role {
	case api:
		s.apps = []*tidings.App{s.cashiers}
	case notifier:
		s.apps = []*tidings.App{s.notifications}
	default:
		s.apps = []*tidings.App{s.cashiers, s.notifications}
	}
	s.web = addWeb(s)
	return s, nil
}

func (s *system) newApp(service string) *tidings.App {
	return tidings.New(tidings.Config{
		Service: service + "-" + s.Env, Broker: s.Broker, Store: s.Store, Topology: tidings.Scoped{Env: s.Env}, Log: s.Log,
	})
}

// makeTables makes the services' tables.
func makeTables(ctx context.Context, db *sql.DB) error {
	return program.MakeTables(ctx, db, appdomain.Schema, invoicing.Schema, notifications.Schema)
}

// during runs the services of this process, calls work when all have started, and ends them when work has ended, or when one of them has.
func (s *system) during(ctx context.Context, work func(ctx context.Context) error) error {
	return program.During(ctx, work, s.apps...)
}

// rest waits until nothing is left to handle or to send, in this process and in others.
func (s *system) rest(ctx context.Context) error {
	return program.Rest(ctx, []*tidings.App{s.cashiers, s.notifications}, s.Store)
}
