package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-go/tidings/store"
)

// migrations are files named NNNN_what.sql. A file that was released is never changed.
//
//go:embed migrations/*.sql
var migrations embed.FS

const versions = `CREATE TABLE IF NOT EXISTS tidings_migrations (
    version INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL,
    at      INTEGER NOT NULL -- Unix nanoseconds
) STRICT`

// queryer is what *sql.DB and *sql.Tx have in common.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Migrate implements [store.Store]. It makes tables whose names begin with "tidings_". All steps are one transaction, so that of several processes
// that migrate at once one does the work and the others find it done.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.writer.do(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, versions); err != nil {
			return err
		}
		have, err := version(ctx, tx)
		if err != nil {
			return err
		}
		return migrateFrom(ctx, tx, have)
	})
	return explain("migrate "+s.path, err)
}

func migrateFrom(ctx context.Context, tx *sql.Tx, have int) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	for _, file := range files {
		number, _, _ := strings.Cut(path.Base(file), "_")
		n, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("%s: the name must begin with a number", file)
		}
		if n <= have {
			continue
		}
		script, err := migrations.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(script)); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		const note = `INSERT INTO tidings_migrations (version, name, at) VALUES ($1, $2, $3)`
		if _, err := tx.ExecContext(ctx, note, n, path.Base(file), time.Now().UnixNano()); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// version is what the database was migrated to, 0 if it never was. It fails with [store.ErrNewer] if this program doesn't know that version.
func version(ctx context.Context, q queryer) (int, error) {
	var there int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'tidings_migrations'`).Scan(&there)
	if err != nil || there == 0 {
		return 0, err
	}
	var have int
	if err = q.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM tidings_migrations`).Scan(&have); err != nil {
		return 0, err
	}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	if have > len(files) {
		return 0, fmt.Errorf("version %d, this program knows %d: %w", have, len(files), store.ErrNewer)
	}
	return have, nil
}
