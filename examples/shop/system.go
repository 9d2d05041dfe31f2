package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/examples/internal/program"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/examples/shop/reader"
)

// The services, which are also the roles that a process can have.
const (
	customers = "customers"
	products  = "products"
	readers   = "reader"
)

// config is what a shop needs.
type config struct {
	// Broker is a URL, and Store is one with {service} in it: each service has a database of its own.
	Broker, Store string
	// Roles are the services that run in this process.
	Roles []string
	// Prefix begins the names of topics and services: shops that share a broker need different ones.
	Prefix string
	// NoRelay leaves the outboxes to "tidings relay".
	NoRelay bool
	Addr    string
	Log     *slog.Logger
}

// shop is the services that run in one process. They share nothing but the broker.
type shop struct {
	config
	broker   broker.Broker
	services []*service
	web      *program.Server
	closers  []func() error
}

// service is an app on a database of its own.
type service struct {
	*connect.Connection
	app  *tidings.App
	role string
}

// newShop opens the broker and the databases, makes the tables, and wires the services. The caller closes it.
func newShop(ctx context.Context, cfg config) (*shop, error) {
	s := &shop{config: cfg}
	// Where a broker is embedded, further processes connect to the first.
	c, err := connect.Open(ctx, connect.Config{Broker: cfg.Broker, Attach: len(cfg.Roles) == 1, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	s.broker, s.closers = c.Broker, append(s.closers, c.Close)
	for _, role := range cfg.Roles {
		if err = s.add(ctx, role); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	s.web = newWeb(s)
	return s, nil
}

// add opens a service's database and wires the service.
func (s *shop) add(ctx context.Context, role string) error {
	c, err := connect.Open(ctx, connect.Config{Store: strings.ReplaceAll(s.Store, placeholder, role), SQL: true, Log: s.Log})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, c.Close)
	p := parts[role]
	app := tidings.New(tidings.Config{
		Service: s.Prefix + role, Owns: []string{p.domain, "shop"}, Broker: s.broker, Store: c.Store, Topology: topology{s.Prefix}, NoRelay: s.NoRelay, Log: s.Log,
	})
	p.add(app, c, s.Prefix)
	s.services = append(s.services, &service{c, app, role})
	if err = c.Store.Migrate(ctx); err != nil { // which also makes the schema on PostgreSQL
		return err
	}
	return program.MakeTables(ctx, c.DB, p.schema)
}

// placeholder stands for a service in the URL of a store.
const placeholder = "{service}"

// part is what one service has for itself.
type part struct {
	domain, schema string
	add            func(app *tidings.App, c *connect.Connection, prefix string)
}

var parts = map[string]part{
	customers: {customer.Domain, customer.Schema, func(app *tidings.App, c *connect.Connection, _ string) {
		customer.Add(app, c.DB)
		addRaw(app)
	}},
	products: {product.Domain, product.Schema, func(app *tidings.App, c *connect.Connection, _ string) {
		product.Add(app, c.DB)
		addRaw(app)
	}},
	readers: {"reader", reader.Schema, func(app *tidings.App, c *connect.Connection, prefix string) {
		reader.Add(app, reader.Config{Customers: prefix + customer.Topic, Products: prefix + product.Topic, DB: c.DB})
	}},
}

// topology is [tidings.Fixed], with names that begin with a prefix.
type topology struct{ prefix string }

// PublishTopic is the topic that the definition names.
func (t topology) PublishTopic(service string, d tidings.Definition) (string, error) {
	name, err := tidings.Fixed{}.PublishTopic(service, d)
	return t.prefix + name, err
}

// SubscribeTopic is the topic that the definition names.
func (t topology) SubscribeTopic(service string, d tidings.Definition) (string, error) {
	return t.PublishTopic(service, d)
}

// service is the one with a role; nil when it runs elsewhere.
func (s *shop) service(role string) *service {
	i := slices.IndexFunc(s.services, func(have *service) bool { return have.role == role })
	if i < 0 {
		return nil
	}
	return s.services[i]
}

// close closes what newShop has opened.
func (s *shop) close() error {
	var err error
	for _, c := range slices.Backward(s.closers) {
		err = errors.Join(err, c())
	}
	return err
}

// during runs the services, calls work when all have started and the web server listens, and ends everything when work has ended, or when one of the services has.
func (s *shop) during(ctx context.Context, work func(ctx context.Context) error) error {
	apps := make([]*tidings.App, len(s.services))
	for i, have := range s.services {
		apps[i] = have.app
	}
	return program.During(ctx, func(ctx context.Context) error {
		if err := s.web.Start(ctx); err != nil {
			return err
		}
		err := work(ctx)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return errors.Join(err, s.web.Stop(ctx))
	}, apps...)
}
