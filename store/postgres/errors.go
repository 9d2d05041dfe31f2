package postgres

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidings-go/tidings/store"
)

// The codes of PostgreSQL's errors that matter here: appendix A of its manual.
const (
	codeSerialization   = "40001"
	codeDeadlock        = "40P01"
	codeUniqueViolation = "23505"
	codeCheckViolation  = "23514"
	codeNoTable         = "42P01"
	codeNoColumn        = "42703"
	codeNoSchema        = "3F000"
	codeNoDatabase      = "3D000"
	codeWrongPassword   = "28P01"
)

// errBadURL stands for whatever url.Parse said: it quotes what it did not understand, which may be a piece of the password.
var errBadURL = errors.New("the URL can't be read: in user and password, characters other than letters and digits must be written as %40 for @, %2F for /, and so on")

// parseURL reads a connection URL. Its errors don't repeat the URL.
func parseURL(from string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(from)
	if err == nil {
		return cfg, nil
	}
	if _, unread := errors.AsType[*url.Error](err); unread {
		return nil, errBadURL
	}
	if refused, ok := errors.AsType[*pgconn.ParseConfigError](err); ok && refused.Unwrap() != nil {
		return nil, fmt.Errorf("the URL can't be used: %w", refused.Unwrap())
	}
	return nil, errors.New("the URL can't be used: one of its settings is unknown or has an impossible value")
}

// place is where a configuration leads to, as errors name it.
func place(cfg *pgx.ConnConfig) string {
	return fmt.Sprintf("%s:%d/%s", cfg.Host, cfg.Port, cfg.Database)
}

// explain says what was tried, and puts the errors of pgx and database/sql that callers tell apart into the words of package store.
func explain(action string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrTxDone):
	case errors.Is(err, pgx.ErrTxClosed), errors.Is(err, sql.ErrTxDone):
		return fmt.Errorf("postgres: %s: %w", action, store.ErrTxDone)
	case hasCode(err, codeNoTable, codeNoColumn, codeNoSchema):
		return fmt.Errorf("postgres: %s: %w (%w)", action, store.ErrNotMigrated, err)
	}
	return fmt.Errorf("postgres: %s: %w", action, err)
}

// explainConnect adds the remedy to what a first connection fails of.
func explainConnect(err error) error {
	_, refused := errors.AsType[*pgconn.PgError](err)
	_, unreached := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case hasCode(err, codeNoDatabase):
		return fmt.Errorf("create the database first, or correct its name: %w", err)
	case hasCode(err, codeWrongPassword):
		return fmt.Errorf("check user and password: %w", err)
	case unreached && !refused:
		return fmt.Errorf("no server can be reached: is PostgreSQL running, the address right, and does it want TLS (sslmode)? %w", err)
	}
	return err
}

// hasCode reports whether err is PostgreSQL's and has one of the codes.
func hasCode(err error, codes ...string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, e.Code)
}

// isRetryable reports whether PostgreSQL gave a transaction up because of others, so that the same may succeed when it is run again.
func isRetryable(err error) bool {
	if hasCode(err, codeSerialization, codeDeadlock) {
		return true
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok:
		return false
	case e.Code == codeUniqueViolation: // Somebody else's row became dead between two statements of Move.
		return e.ConstraintName == "letters_dead_once"
	case e.Code == codeCheckViolation: // A day got its partition while a claim of that day was on its way to the default one.
		return e.TableName == "inbox_default"
	}
	return false
}
