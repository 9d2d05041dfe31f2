package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
	"github.com/tidings-go/tidings/examples/cashiers/notifications"
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
	web  *web
}

// newSystem makes the tables and wires the services.
func newSystem(ctx context.Context, cfg config) (*system, error) {
	if err := makeTables(ctx, cfg.Connection); err != nil {
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

// makeTables makes the services' tables. In PostgreSQL two processes that make a table at the same moment can collide, though both say IF NOT EXISTS: who has
// lost finds it made when it tries again.
func makeTables(ctx context.Context, c *connect.Connection) error {
	const tries = 3
	var err error
	for range tries {
		err = nil
		for _, schema := range []string{appdomain.Schema, invoicing.Schema, notifications.Schema} {
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

// run runs the services until ctx ends, or one of them.
func (s *system) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, len(s.apps))
	for _, app := range s.apps {
		go func() {
			ended <- app.Run(ctx)
			stop()
		}()
	}
	var err error
	for range s.apps {
		err = errors.Join(err, <-ended)
	}
	return err
}

// during runs the system, calls work when everything has started, and ends the system when work has ended.
func (s *system) during(ctx context.Context, work func(ctx context.Context) error) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.run(running) }()
	for _, app := range s.apps {
		select {
		case <-app.Ready():
		case err := <-ended:
			return err
		case <-ctx.Done():
			stop()
			return <-ended
		}
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
