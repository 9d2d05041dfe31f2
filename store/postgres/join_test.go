package postgres_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

// joined is a transaction that the test has begun, joined.
type joined struct {
	native store.Native
	commit func() error
	undo   func() error
}

func doors(t *testing.T, s *postgres.Store) map[string]func() joined {
	t.Helper()
	return map[string]func() joined{
		"pgx": func() joined {
			tx, err := s.Pool().Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return joined{s.Join(tx), func() error { return tx.Commit(t.Context()) }, func() error { return tx.Rollback(t.Context()) }}
		},
		"database/sql": func() joined {
			tx, err := s.DB().BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return joined{s.JoinSQL(tx), tx.Commit, tx.Rollback}
		},
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{SQL: true})
	for door, begin := range doors(t, s) {
		undone := begin()
		publish(t.Context(), t, undone.native, "undone")
		if err := undone.undo(); err != nil {
			t.Fatal(err)
		}
		kept := begin()
		publish(t.Context(), t, kept.native, door)
		wantEvents(t, s) // Written, but not committed.
		if first, _, err := kept.native.StoreTx().Claim(t.Context(), door, "1"); err != nil || !first {
			t.Errorf("%s: claim: %v, %v", door, first, err)
		}
		if err := kept.native.StoreTx().Save(t.Context(), door, "1", []byte("saved")); err != nil {
			t.Errorf("%s: save: %v", door, err)
		}
		if first, saved, err := kept.native.StoreTx().Claim(t.Context(), door, "1"); err != nil || first || string(saved) != "saved" {
			t.Errorf("%s: claim again: %v, %q, %v", door, first, saved, err)
		}
		if err := kept.commit(); err != nil {
			t.Fatal(err)
		}
		wantEvents(t, s, door)
		if err := kept.native.StoreTx().Append(t.Context(), event("late")); !errors.Is(err, store.ErrTxDone) {
			t.Errorf("%s: Append to a joined transaction that is over returned %v, want store.ErrTxDone", door, err)
		}
		last := begin()
		for r := range s.List(t.Context(), store.Filter{}) {
			if n, err := last.native.StoreTx().Move(t.Context(), store.Gone, r.ID); n != 1 || err != nil {
				t.Errorf("%s: Move: %d, %v", door, n, err)
			}
		}
		if err := last.commit(); err != nil {
			t.Fatal(err)
		}
		wantEvents(t, s)
	}
}

func TestJoinNothing(t *testing.T) {
	t.Parallel()
	if postgres.Join(nil).StoreTx() != nil || postgres.JoinSQL(nil).StoreTx() != nil {
		t.Error("joining nil gives a transaction with a part")
	}
}

// The functions know no store, so they need the schema of the default name, in a database of its own.
func TestJoinWithoutAStore(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	s := open(t, url, postgres.Config{SQL: true})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := pgx.BeginFunc(t.Context(), s.Pool(), func(tx pgx.Tx) error {
		return postgres.Join(tx).StoreTx().Append(t.Context(), event("pgx"))
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.JoinSQL(tx).StoreTx().Append(t.Context(), event("database/sql")); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, "pgx", "database/sql")
}

// newDatabase makes a database on the server, drops it after the test, and returns its URL.
func newDatabase(tb testing.TB) string {
	tb.Helper()
	url, name := testenv.Postgres(tb), newSchema(tb)
	run(tb, url, `CREATE DATABASE `+name)
	tb.Cleanup(func() { run(tb, url, `DROP DATABASE `+name+` WITH (FORCE)`) })
	return withDatabase(tb, url, name)
}
