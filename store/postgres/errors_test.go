package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

func TestErrorsDoNotRepeatThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://user:secret@127.0.0.1:1/db?sslmode=disable&connect_timeout=2",
		"postgres://user:sec/ret@127.0.0.1:1/db",
		"postgres://user:%zzsecret@127.0.0.1:1/db",
		"postgres://user:secret@127.0.0.1:port/db",
		"postgres://user:secret@127.0.0.1:1/db?sslmode=nonsense",
		"postgres://user@127.0.0.1:1/db?password=secret&sslmode=nonsense",
		"postgres://user:secret@127.0.0.1:1/db?pool_max_conns=many",
		"postgres://user:secret@127.0.0.1:1/db?sslrootcert=/nowhere&sslmode=verify-full",
		"host=127.0.0.1 port=1 user=user password=secret dbname=db connect_timeout=2",
		"host=127.0.0.1 port=x password='sec ret'",
		"user:secret@127.0.0.1:1/db",
		"postgres://user:secret@[::1",
		"secret",
	} {
		for what, open := range map[string]func() (*postgres.Store, error){
			"Open": func() (*postgres.Store, error) { return postgres.Open(t.Context(), url, postgres.Config{}) },
			"Direct": func() (*postgres.Store, error) {
				return postgres.Open(t.Context(), testenv.Postgres(t), postgres.Config{Direct: url, Schema: "never"})
			},
		} {
			s, err := open()
			if err == nil {
				if err = s.Close(); err != nil || what == "Open" {
					t.Errorf("%s(%q) succeeded, and Close returned %v", what, url, err)
				}
				continue // Direct is used later.
			}
			text := err.Error()
			if strings.Contains(strings.TrimPrefix(text, "postgres: open: "), "secret") || strings.Contains(text, "ret@") || strings.Contains(text, `"sec`) {
				t.Errorf("%s(%q) says %s", what, url, text)
			}
			if !strings.HasPrefix(text, "postgres: open") {
				t.Errorf("%s(%q) says %s, want what was tried", what, url, text)
			}
		}
	}
}

func TestWhatCanNotBeReachedIsExplained(t *testing.T) {
	t.Parallel()
	there, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	there.Path = "/never_made"
	for at, want := range map[string]string{
		there.String():                    "create the database first",
		"postgres://127.0.0.1:1/db":       "is PostgreSQL running",
		"postgres://nowhere.invalid:1/db": "is PostgreSQL running",
	} {
		if _, err = postgres.Open(t.Context(), at, postgres.Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestImpossibleSettings(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]postgres.Config{
		"MaxAge":    {MaxAge: -time.Second},
		"Retention": {Retention: -1},
		"schema":    {Schema: `x"; DROP TABLE users; --`},
		"digit":     {Schema: "1st"},
	} {
		if _, err := postgres.Open(t.Context(), testenv.Postgres(t), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open with %+v returned %v, want an error about %s", cfg, err, want)
		}
	}
	if _, err := postgres.Migrations("No"); err == nil {
		t.Error("Migrations took an impossible schema")
	}
}

func TestNotMigrated(t *testing.T) {
	t.Parallel()
	for _, sqlDoor := range []bool{false, true} {
		s := open(t, testenv.Postgres(t), postgres.Config{Schema: newSchema(t), SQL: sqlDoor})
		err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, event("x")) })
		if !errors.Is(err, store.ErrNotMigrated) {
			t.Errorf("Append returned %v, want store.ErrNotMigrated", err)
		}
		err = s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
			_, _, failed := tx.StoreTx().Claim(ctx, "space", "id")
			return failed
		})
		if !errors.Is(err, store.ErrNotMigrated) {
			t.Errorf("Claim returned %v, want store.ErrNotMigrated", err)
		}
		for _, err := range s.List(t.Context(), store.Filter{}) {
			if !errors.Is(err, store.ErrNotMigrated) {
				t.Errorf("List returned %v, want store.ErrNotMigrated", err)
			}
		}
	}
}
