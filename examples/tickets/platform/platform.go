package platform

import (
	"cmp"
	"context"
	"database/sql"
	_ "embed" // for the schema
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/forward"
	"github.com/tidings-go/tidings/lake"
	"github.com/tidings-go/tidings/store"
)

//go:embed schema.sql
var schema string

// Config configures the platform. Broker, Store and DB are required.
type Config struct {
	// Broker carries the events.
	Broker broker.Broker
	// Store keeps outbox and inbox. Its native transaction must be *store.SQLTx, as that of store/sqlite is.
	Store store.Store
	// DB is the database that Store is in: for reading, and for making the platform's tables.
	DB *sql.DB
	// Shared says that other platforms may use the broker, now or earlier. The first of them has the plain names of topics and groups; a later one gets a
	// name of its own, "tickets-4k7x2m9q" say, which its database remembers: its topics are "tickets-4k7x2m9q.events" and so on.
	Shared bool
	// Addr is where page and API listen. Default "127.0.0.1:8080"; port 0 takes a free one.
	Addr string
	// Hosts are further host names under which the page may be asked for. Loopback names and that of Addr always are.
	Hosts []string
	// Concurrency is how many messages, each of another show, a subscription handles at once. Default 16.
	Concurrency int
	// Stop bounds how long Run waits for what is running when it ends. Default 30 s.
	Stop time.Duration
	// Log gets what the platform has to say. Default slog.Default().
	Log *slog.Logger
}

// Platform is the whole ticket platform: one service made of modules. Make one with [New].
type Platform struct {
	cfg Config
	// name is the service's name, and topology has the topics that go with it.
	name     string
	topology tidings.Shared
	app      *tidings.App
	db       *sql.DB
	log      *slog.Logger

	bookings *bookings
	refunds  *refunds
	ops      *ops
	web      *web
}

// New makes the platform and its tables. Bookings can be made at once; [Platform.Run] carries their events.
func New(ctx context.Context, cfg Config) (*Platform, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Addr = cmp.Or(cfg.Addr, "127.0.0.1:8080")
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 16)
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if err := cfg.Store.Migrate(ctx); err != nil {
		return nil, fmt.Errorf("tickets: migrate the store: %w", err)
	}
	if err := migrate(ctx, cfg.DB); err != nil {
		return nil, err
	}
	p := &Platform{cfg: cfg, name: service, db: cfg.DB, log: cfg.Log}
	if cfg.Shared {
		var err error
		if p.name, err = findName(ctx, cfg.Broker, cfg.DB); err != nil {
			return nil, fmt.Errorf("tickets: find the platform's name: %w", err)
		}
	}
	p.topology = tidings.Shared{Topic: publicTopic(p.name)}
	p.app = tidings.New(tidings.Config{
		Service: p.name, Owns: []string{service}, Broker: cfg.Broker, Store: cfg.Store, Topology: p.topology, Stop: cfg.Stop, Log: cfg.Log,
	})
	p.bookings = addBookings(p)
	addReceipts(p)
	addPrinting(p)
	p.refunds = addRefunds(p)
	addNotifications(p)
	p.ops = addOps(p)
	p.web = addWeb(p)
	platform := p.app.AddModule("platform")
	lake.Add(platform, lake.Config{Topics: []string{p.topology.Topic}})
	forward.Add(platform, forward.Config{Topology: p.topology})
	return p, nil
}

// App is the platform as an app, for tools that look at apps.
func (p *Platform) App() *tidings.App { return p.app }

// Name is the platform's name on the broker: "tickets", or one of its own (see [Config.Shared]).
func (p *Platform) Name() string { return p.name }

// Run runs the platform until ctx ends, and drains it.
func (p *Platform) Run(ctx context.Context) error { return p.app.Run(ctx) }

// URL is where the page is, once the app is ready.
func (p *Platform) URL() string { return p.web.url() }

// Pages is how many pages are connected and see updates.
func (p *Platform) Pages() int { return p.ops.hub.Stats().Clients }

func (c *Config) check() error {
	if c.Broker == nil || c.Store == nil || c.DB == nil {
		return errors.New("tickets: Config.Broker, Store and DB are required")
	}
	if _, ok := c.Store.Native().(*store.SQLTx); !ok {
		return fmt.Errorf("tickets: the store's transactions are %T, and the platform needs *store.SQLTx, which store/sqlite has", c.Store.Native())
	}
	return nil
}

// migrate makes the tables of the lake and the platform. In PostgreSQL two processes that make a table at the same moment can collide, though both say
// IF NOT EXISTS: who has lost finds the table made when it tries again.
func migrate(ctx context.Context, db *sql.DB) error {
	const tries = 20
	for try := 1; ; try++ {
		err := makeTables(ctx, db)
		if err == nil || try == tries {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func makeTables(ctx context.Context, db *sql.DB) error {
	if err := lake.Migrate(ctx, db); err != nil {
		return fmt.Errorf("tickets: %w", err)
	}
	for statement := range strings.SplitSeq(schema, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("tickets: make the tables: %w", err)
		}
	}
	return nil
}

// subscription is what all subscriptions of the platform have in common.
func (p *Platform) subscription(name string) tidings.Subscription {
	return tidings.Subscription{Name: name, Concurrency: p.cfg.Concurrency}
}

// formatTime writes a time so that it sorts as text.
func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
