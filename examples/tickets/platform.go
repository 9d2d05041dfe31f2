package tickets

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
	app *tidings.App
	db  *sql.DB
	log *slog.Logger

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
	if err := migrate(ctx, cfg); err != nil {
		return nil, err
	}
	app := tidings.New(tidings.Config{
		Service: "tickets", Broker: cfg.Broker, Store: cfg.Store, Topology: tidings.Shared{}, Stop: cfg.Stop, Log: cfg.Log,
	})
	p := &Platform{cfg: cfg, app: app, db: cfg.DB, log: cfg.Log}
	p.bookings = addBookings(p)
	addReceipts(p)
	addPrinting(p)
	p.refunds = addRefunds(p)
	addNotifications(p)
	p.ops = addOps(p)
	p.web = addWeb(p)
	platform := app.AddModule("platform")
	lake.Add(platform, lake.Config{})
	forward.Add(platform, forward.Config{})
	return p, nil
}

// App is the platform as an app, for tools that look at apps.
func (p *Platform) App() *tidings.App { return p.app }

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

// migrate makes the tables of the store, the lake and the platform.
func migrate(ctx context.Context, cfg Config) error {
	if err := cfg.Store.Migrate(ctx); err != nil {
		return fmt.Errorf("tickets: migrate the store: %w", err)
	}
	if err := lake.Migrate(ctx, cfg.DB); err != nil {
		return fmt.Errorf("tickets: %w", err)
	}
	for statement := range strings.SplitSeq(schema, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := cfg.DB.ExecContext(ctx, statement); err != nil {
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
