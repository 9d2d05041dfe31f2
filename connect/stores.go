package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/tidings-go/tidings/embedded"
	"github.com/tidings-go/tidings/store/memory"
	"github.com/tidings-go/tidings/store/sqlite"
)

func stores() []scheme {
	return []scheme{
		{"sqlite", (*opener).openSQLite},
		{"postgres", (*opener).openPostgres},
		{"postgresql", (*opener).openPostgres},
		{"embedded", (*opener).openEmbeddedStore},
		{"memory", (*opener).openMemoryStore},
	}
}

func sqliteConfig(a *address, log *slog.Logger) (sqlite.Config, error) {
	cfg := sqlite.Config{Log: log}
	a.options.duration("busy_timeout", &cfg.BusyTimeout)
	a.options.number("connections", &cfg.Connections)
	a.options.duration("retention", &cfg.Retention)
	a.options.duration("poll", &cfg.Poll)
	a.options.number("max_rows", &cfg.MaxRows)
	a.options.duration("max_age", &cfg.MaxAge)
	return cfg, a.options.err()
}

func (o *opener) openSQLite(ctx context.Context, a *address) error {
	cfg, err := sqliteConfig(a, o.cfg.Log)
	if err != nil {
		return err
	}
	if a.path == "" {
		return errors.New("the URL names no file: want sqlite:FILE or sqlite:///ABSOLUTE/FILE")
	}
	return o.openFile(ctx, a.path, cfg)
}

// openFile opens an SQLite database.
func (o *opener) openFile(ctx context.Context, file string, cfg sqlite.Config) error {
	s, err := sqlite.Open(ctx, file, cfg)
	if err != nil {
		return err
	}
	o.closes(s)
	o.c.Store, o.c.DB = s, s.DB()
	return nil
}

// openEmbeddedStore takes the store of the node that is open, or opens the file in the folder beside whoever has it: a database takes several
// processes.
func (o *opener) openEmbeddedStore(ctx context.Context, a *address) error {
	dir, err := folder(a)
	if err != nil {
		return err
	}
	if o.node != nil && o.folder == dir {
		o.c.Store, o.c.DB = o.node.Store(), o.node.Store().DB()
		return nil
	}
	cfg, err := sqliteConfig(a, o.cfg.Log)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	return o.openFile(ctx, filepath.Join(dir, embedded.Database), cfg)
}

func (o *opener) openMemoryStore(_ context.Context, a *address) error {
	if err := errors.Join(a.options.err(), a.noPath()); err != nil {
		return err
	}
	if o.cfg.SQL {
		return errors.New("memory: has no database: this program needs one, such as sqlite:FILE")
	}
	o.c.Store = memory.New()
	return nil
}
