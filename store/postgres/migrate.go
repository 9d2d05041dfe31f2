package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/store"
)

// migrations are files named NNNN.sql, numbered from one. Each sets the version in meta. A file that was released is never changed.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Migrations is what Migrate runs on an empty database, as SQL for a schema: for review, and for databases in which a program may not make tables. An
// empty name is [DefaultSchema]. Each step sets the version in the table meta; run what is newer than that, in one transaction.
func Migrations(schema string) (string, error) {
	cfg, err := Config{Schema: schema}.withDefaults()
	if err != nil {
		return "", fmt.Errorf("postgres: migrations: %w", err)
	}
	texts, err := steps(quoted(cfg.Schema))
	if err != nil {
		return "", fmt.Errorf("postgres: migrations: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s;\n", createSchema(quoted(cfg.Schema)))
	for i, text := range texts {
		fmt.Fprintf(&b, "\n-- Version %d.\n\n%s", i+1, text)
	}
	return b.String(), nil
}

func steps(schema string) ([]string, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(files))
	for i, file := range files {
		text, err := migrations.ReadFile(file)
		if err != nil {
			return nil, err
		}
		texts[i] = strings.ReplaceAll(string(text), "{schema}", schema)
	}
	return texts, nil
}

func createSchema(schema string) string { return "CREATE SCHEMA IF NOT EXISTS " + schema }

// Migrate implements [store.Store]. All steps are one transaction under a lock, so that of several processes that migrate at once one does the work and
// the others find it done. The schema is made if there is none; whoever may not make one can have it made by somebody else.
func (s *Store) Migrate(ctx context.Context) error {
	// Behind the lock it has to see what those did who had it before.
	fresh := pgx.TxOptions{IsoLevel: pgx.ReadCommitted}
	err := pgx.BeginTxFunc(ctx, s.pool, fresh, func(tx pgx.Tx) error {
		const lock = `SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))`
		if _, err := tx.Exec(ctx, lock, "tidings migrate "+s.cfg.Schema); err != nil {
			return err
		}
		have, err := s.version(ctx, tx)
		if err != nil {
			return err
		}
		return s.migrateFrom(ctx, tx, have)
	})
	return explain("migrate schema "+s.cfg.Schema, err)
}

func (s *Store) migrateFrom(ctx context.Context, tx pgx.Tx, have int) error {
	steps, err := steps(s.schema)
	if err != nil || have == len(steps) {
		return err
	}
	var there bool
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1::text)`, s.cfg.Schema).Scan(&there)
	if err == nil && !there {
		_, err = tx.Exec(ctx, createSchema(s.schema))
	}
	if err != nil {
		return err
	}
	for i, step := range steps[have:] {
		if _, err := tx.Exec(ctx, step); err != nil {
			return fmt.Errorf("step %d: %w", have+i+1, err)
		}
	}
	return nil
}

// version is what the schema was migrated to, 0 if it never was. It fails with [store.ErrNewer] if this program doesn't know that version.
func (s *Store) version(ctx context.Context, q querier) (int, error) {
	// to_regclass would do, but for names that it did not find before: it remembers that until the transaction ends.
	const look = `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1::text AND c.relname = 'meta')`
	var there bool
	err := q.QueryRow(ctx, look, s.cfg.Schema).Scan(&there)
	if err != nil || !there {
		return 0, err
	}
	var have int
	if err = q.QueryRow(ctx, s.sql(`SELECT version FROM {schema}.meta`)).Scan(&have); err != nil {
		return 0, err
	}
	steps, err := steps(s.schema)
	if err != nil {
		return 0, err
	}
	if have > len(steps) {
		return 0, fmt.Errorf("version %d, this program knows %d: %w", have, len(steps), store.ErrNewer)
	}
	return have, nil
}
