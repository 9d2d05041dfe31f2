package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/tidings-go/tidings/store"
)

// explain says what was tried, and puts the errors of SQLite and database/sql that callers tell apart into the words of package store.
func explain(action string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrTxDone) && !errors.Is(err, store.ErrTxDone):
		return fmt.Errorf("sqlite: %s: %w", action, store.ErrTxDone)
	case strings.Contains(err.Error(), "no such table: tidings_"):
		return fmt.Errorf("sqlite: %s: %w (%w)", action, store.ErrNotMigrated, err)
	}
	return fmt.Errorf("sqlite: %s: %w", action, err)
}

// explainOpen adds the remedy to what opening a file fails of.
func explainOpen(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_CANTOPEN, codes.SQLITE_READONLY:
		return fmt.Errorf("is its folder there, and may this program write in it? %w", err)
	case codes.SQLITE_NOTADB:
		return fmt.Errorf("is this the right file? %w", err)
	}
	return err
}

// isBusy reports whether err says that somebody else has the file.
func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == codes.SQLITE_BUSY
}
