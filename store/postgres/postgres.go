// Package postgres keeps tidings' rows in a PostgreSQL database (13 or newer), beside the user's own tables and in the same transactions.
//
//	s, err := postgres.Open(ctx, "postgres://shop@db.example.com/shop?sslmode=verify-full", postgres.Config{})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	if err := s.Migrate(ctx); err != nil {
//		return err
//	}
//	app := tidings.New(tidings.Config{Service: "shop", Store: s, Broker: b})
//
// The native transaction is [*Tx], which is a [pgx.Tx]. A program that is written for database/sql sets [Config].SQL; then it is
// [*store.SQLTx], as in store/sqlite. The tables are in a schema of their own, which nothing but this package writes; no search_path is needed or changed.
//
// Events that a transaction publishes are kept in memory and written right before the commit, on the same trip to the server. So they cost no
// round trip, and they come out in the order in which transactions that touched the same data were committed.
//
// The URL may lead through PgBouncer in transaction mode, if it has default_query_exec_mode=cache_describe (or exec, or simple_protocol) and [Config].Direct leads
// past it. TLS is configured in the URL (sslmode, sslrootcert), as for psql.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tidings-go/tidings/store"
)

// DefaultSchema is the schema of [Config]'s zero value, and that of [Join] and [JoinSQL].
const DefaultSchema = "tidings"

// Store implements [store.Store].
type Store struct {
	cfg Config
	// schema is quoted, as statements need it.
	schema string
	pool   *pgxpool.Pool
	// ownsPool says that Close closes the pool.
	ownsPool bool
	// direct is how relays reach the server.
	direct *pgx.ConnConfig
	// db and sqlTxs are the pool's doors for database/sql, or nil: one for the user, one for InTx.
	db, sqlTxs *sql.DB
	limits     *limits

	hint *hinter
	// current is the slot that takes new rows of the outbox.
	current atomic.Int32
	written chan struct{} // has a token when rows were written
	links   links
	timing  timing
	missed  atomic.Int64
	stop    context.CancelFunc
}

var _ store.Store = (*Store)(nil)

// Open connects to the server that a URL (or a list of key=value pairs, as psql takes it) names. Settings of pgx's pool may be in it, for example pool_max_conns=20;
// without, there are four connections, or as many as the machine has processors. It fails with [store.ErrNewer] if a newer version of tidings has migrated the schema.
// ctx bounds only the opening. An error never has the password in it.
func Open(ctx context.Context, url string, cfg Config) (*Store, error) {
	parsed, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, parsed)
	if err != nil {
		return nil, fmt.Errorf("postgres: open %s: %w", place(parsed.ConnConfig), err)
	}
	s, err := New(ctx, pool, cfg)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.ownsPool = true
	return s, nil
}

// New is [Open] with a pool that the caller has made, and closes after the store.
func New(ctx context.Context, pool *pgxpool.Pool, cfg Config) (*Store, error) {
	direct := pool.Config().ConnConfig
	at := place(direct)
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("postgres: open %s: %w", at, err)
	}
	if cfg.Direct != "" {
		parsed, err := parseURL(cfg.Direct)
		if err != nil {
			return nil, fmt.Errorf("postgres: open: Config.Direct: %w", err)
		}
		direct = parsed.ConnConfig
	}
	s := &Store{cfg: cfg, schema: quoted(cfg.Schema), pool: pool, direct: direct, limits: newLimits(cfg), timing: defaultTiming()}
	if _, err := s.version(ctx, pool); err != nil {
		return nil, explain("open "+at, explainConnect(err))
	}
	if cfg.SQL {
		s.db, s.sqlTxs = stdlib.OpenDBFromPool(pool), openSQL(pool)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.startBackground(background)
	return s, nil
}

// Pool is for the application's own use: to read, to run its own migrations, and to begin the transactions that it gives to [Store.Join].
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// DB is what [Store.Pool] is, for database/sql: both share their connections. It is nil unless [Config].SQL is set.
func (s *Store) DB() *sql.DB { return s.db }

// Native implements [store.Store]: a nil [*Tx], or a nil [*store.SQLTx] if [Config].SQL is set.
func (s *Store) Native() store.Native {
	if s.cfg.SQL {
		return (*store.SQLTx)(nil)
	}
	return (*Tx)(nil)
}

// Close closes the connections that Open has made. Transactions and Lanes must have ended.
func (s *Store) Close() error {
	s.stop()
	s.stopBackground()
	var err error
	if s.db != nil {
		err = errors.Join(s.db.Close(), s.sqlTxs.Close())
	}
	if s.ownsPool {
		s.pool.Close()
	}
	return explain("close", err)
}

// quoted is a name as statements need it.
func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }
