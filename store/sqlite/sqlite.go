// Package sqlite keeps tidings' rows in an SQLite database, beside the user's own tables and in the same transactions.
//
//	s, err := sqlite.Open(ctx, "shop.db", sqlite.Config{})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	if err := s.Migrate(ctx); err != nil {
//		return err
//	}
//	app := tidings.New(tidings.Config{Service: "shop", Store: s, Broker: b})
//
// The native transaction is [*Tx]. The user's own tables are made and written in [Store.InTx], and read there or through [Store.DB].
//
// The database is in WAL mode with synchronous=FULL: what was committed survives a power cut. SQLite has one writer at a time; InTx calls
// that come at the same time share a commit, so that many callers together commit several times as often as one. A function that takes
// long holds all other writers up: do nothing slow in it.
//
// Several processes of one machine may open the same file. The file must be on a disk of that machine and not on a network
// drive, and on a disk that stays: what is in a container's own file system is lost with it.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/tidings-go/tidings/store"
)

// Config holds what is optional. The zero value is useful.
type Config struct {
	// BusyTimeout is how long a transaction waits for one of another process. Default 10 seconds.
	BusyTimeout time.Duration
	// Connections is how many connections read at the same time. Default 8.
	Connections int
	// Retention is how long claims (inbox and idempotency keys) are remembered: longer than any message may come late or again. Default 14 days.
	Retention time.Duration
	// MaxRows is how many rows the outbox may hold, and MaxAge how old the oldest may be. Beyond that a transaction of InTx that appends more fails with
	// [store.ErrOutboxFull]: a broker that is away for days should not fill the disk. Default 0: no limit.
	MaxRows int
	MaxAge  time.Duration
	// Poll is how often to look whether another process, or a transaction that was joined, has committed. Default 20 milliseconds.
	Poll time.Duration
	// Log gets what goes wrong in the background. Default slog.Default.
	Log *slog.Logger
}

// Store implements [store.Store].
type Store struct {
	path    string
	cfg     Config
	db      *sql.DB
	writer  *writer
	watch   *watch
	stop    context.CancelFunc
	running sync.WaitGroup
}

var _ store.Store = (*Store)(nil)

// Open opens the database in the file path, and creates it if there is none; its folder must exist. It fails with [store.ErrNewer] if a
// newer version of tidings has migrated the database. ctx bounds only the opening.
func Open(ctx context.Context, path string, cfg Config) (*Store, error) {
	s, err := open(ctx, path, cfg)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, explainOpen(err))
	}
	return s, nil
}

func open(ctx context.Context, path string, cfg Config) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if path == "" || strings.HasPrefix(path, ":memory:") || strings.HasPrefix(path, "file:") {
		return nil, errors.New("the path must be that of a file; for a store that forgets use store/memory")
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	connect, err := sqlite.NewConnector(dsn(path, cfg))
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, cfg: cfg, db: sql.OpenDB(connect), writer: &writer{db: sql.OpenDB(connector{connect})}, watch: newWatch()}
	s.db.SetMaxOpenConns(cfg.Connections)
	s.db.SetMaxIdleConns(cfg.Connections)
	s.writer.db.SetMaxOpenConns(1)

	err = s.enableWAL(ctx)
	if err == nil {
		_, err = version(ctx, s.db)
	}
	if err != nil {
		return nil, errors.Join(err, s.closeAll())
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.running.Go(func() { s.watch.run(background, s.db, cfg) })
	return s, nil
}

func (c Config) withDefaults() (Config, error) {
	if c.BusyTimeout < 0 || c.Retention < 0 || c.Poll < 0 || c.Connections < 0 || c.MaxRows < 0 || c.MaxAge < 0 {
		return c, fmt.Errorf("BusyTimeout %v, Retention %v, Poll %v, Connections %d, MaxRows %d and MaxAge %v must not be negative",
			c.BusyTimeout, c.Retention, c.Poll, c.Connections, c.MaxRows, c.MaxAge)
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = 10 * time.Second
	}
	if c.Connections == 0 {
		c.Connections = 8
	}
	if c.Connections == 1 {
		c.Connections = 2 // One is the watch's.
	}
	if c.Retention == 0 {
		c.Retention = 14 * 24 * time.Hour
	}
	if c.Poll == 0 {
		c.Poll = 20 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c, nil
}

// dsn is the driver's address of the file. Each connection gets these settings; WAL mode is the file's own.
func dsn(path string, cfg Config) string {
	file := filepath.ToSlash(path)
	if !strings.HasPrefix(file, "/") {
		file = "/" + file // C:/shop.db
	}
	query := url.Values{
		"_txlock": {"immediate"}, // A transaction that begins as a reader fails when it wants to write after somebody else has.
		"_dqs":    {"0"},
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", cfg.BusyTimeout.Milliseconds()),
			"synchronous(FULL)",
			"foreign_keys(ON)",
			"journal_size_limit(67108864)",
		},
	}
	return (&url.URL{Scheme: "file", Path: file, RawQuery: query.Encode()}).String()
}

// enableWAL puts the file into WAL mode. SQLite's busy timeout does not apply to that, so it is tried again while other processes do the same.
func (s *Store) enableWAL(ctx context.Context) error {
	deadline := time.Now().Add(s.cfg.BusyTimeout)
	for {
		var mode string
		err := s.db.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
		switch {
		case err == nil && mode == "wal":
			return nil
		case err == nil:
			return fmt.Errorf("the file can't be put into WAL mode, it stays in %q: is it on a disk of this machine?", mode)
		case !isBusy(err) || time.Now().After(deadline):
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// DB is for the application's own use: to read, to run its own migrations, and to begin the transactions that it gives to [Join].
// What it writes elsewhere than in [Store.InTx] waits for the file's lock by polling, and may wait long while InTx is busy.
// Using it inside of InTx for writing waits for itself, until the busy timeout.
func (s *Store) DB() *sql.DB { return s.db }

// Native implements [store.Store]: a nil [*Tx].
func (s *Store) Native() store.Native { return (*Tx)(nil) }

// Close closes the connections. Transactions and Lanes must have ended.
func (s *Store) Close() error {
	s.stop()
	s.running.Wait()
	if err := s.closeAll(); err != nil {
		return fmt.Errorf("sqlite: close %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) closeAll() error { return errors.Join(s.writer.db.Close(), s.db.Close()) }

// pause waits for d, or fails when ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
