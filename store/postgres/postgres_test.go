package postgres_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
	"github.com/tidings-go/tidings/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, with(postgres.Config{}))
}

func TestStoreOverDatabaseSQL(t *testing.T) {
	t.Parallel()
	storetest.Run(t, with(postgres.Config{SQL: true}))
}

func with(cfg postgres.Config) func(tb testing.TB) storetest.Fixture {
	return func(tb testing.TB) storetest.Fixture {
		tb.Helper()
		return fixture(tb, cfg)
	}
}

// at is with, on another server or by another way to it.
func at(server string, cfg postgres.Config) func(tb testing.TB) storetest.Fixture {
	return func(tb testing.TB) storetest.Fixture {
		tb.Helper()
		return fixtureAt(tb, server, cfg)
	}
}

// fixture is a schema of its own for tidings, and another for what stands for the user's tables.
func fixture(tb testing.TB, cfg postgres.Config) storetest.Fixture {
	tb.Helper()
	return fixtureAt(tb, testenv.Postgres(tb), cfg)
}

func fixtureAt(tb testing.TB, server string, cfg postgres.Config) storetest.Fixture {
	tb.Helper()
	direct := server
	if cfg.Direct != "" {
		direct = cfg.Direct
	}
	cfg.Schema = newSchemaAt(tb, direct)
	user := newSchemaAt(tb, direct)
	run(tb, direct, `CREATE SCHEMA `+user, `CREATE TABLE `+user+`.counters (key text PRIMARY KEY, n integer NOT NULL)`)
	reopen := func(tb testing.TB) store.Store {
		tb.Helper()
		return open(tb, server, cfg)
	}
	next := func(ctx context.Context, tx store.Native, key string) (n int, err error) {
		count := `INSERT INTO ` + user + `.counters AS c (key, n) VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET n = c.n + 1 RETURNING n`
		return n, queryRow(ctx, tx, count, key).Scan(&n)
	}
	return storetest.Fixture{Open: reopen, Next: next}
}

// newSchema returns a name that nobody else has, and drops the schema after the test.
func newSchema(tb testing.TB) string {
	tb.Helper()
	return newSchemaAt(tb, testenv.Postgres(tb))
}

func newSchemaAt(tb testing.TB, server string) string {
	tb.Helper()
	var random [6]byte
	_, _ = rand.Read(random[:])
	name := "test_" + hex.EncodeToString(random[:])
	tb.Cleanup(func() { run(tb, server, `DROP SCHEMA IF EXISTS `+name+` CASCADE`) })
	return name
}

// run runs statements on a connection of its own.
func run(tb testing.TB, server string, statements ...string) {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			tb.Fatalf("%s: %v", s, err)
		}
	}
}

func open(tb testing.TB, server string, cfg postgres.Config) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), server, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// openSchema opens a store in a schema.
func openSchema(tb testing.TB, schema string) *postgres.Store {
	tb.Helper()
	return open(tb, testenv.Postgres(tb), postgres.Config{Schema: schema})
}

// withUser and withDatabase are a URL for another user, whose password is "password", and of another database of the server.
func withUser(tb testing.TB, server, user string) string {
	tb.Helper()
	return changed(tb, server, func(u *url.URL) { u.User = url.UserPassword(user, "password") })
}

func withDatabase(tb testing.TB, server, name string) string {
	tb.Helper()
	return changed(tb, server, func(u *url.URL) { u.Path = "/" + name })
}

func changed(tb testing.TB, server string, change func(*url.URL)) string {
	tb.Helper()
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatal(err)
	}
	change(u)
	return u.String()
}

// ready opens a migrated store in a new schema.
func ready(tb testing.TB, cfg postgres.Config) *postgres.Store {
	tb.Helper()
	cfg.Schema = newSchema(tb)
	s := open(tb, testenv.Postgres(tb), cfg)
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

// native is the transaction of a store that is not opened over database/sql.
func native(tx store.Native) *postgres.Tx {
	t, _ := tx.(*postgres.Tx)
	return t
}

// queryRow runs a query in either kind of transaction.
func queryRow(ctx context.Context, tx store.Native, query string, args ...any) pgx.Row {
	if over, ok := tx.(*store.SQLTx); ok {
		return over.QueryRowContext(ctx, query, args...)
	}
	return native(tx).QueryRow(ctx, query, args...)
}

// oneOfEverything uses each statement of a store once. It reads no lane.
func oneOfEverything(t *testing.T, s *postgres.Store) {
	t.Helper()
	letter := store.Row{
		Record: broker.Record{Key: "k\x00\\", Headers: []broker.Header{{Name: "n", Value: "v"}}, Value: []byte("dead\x00")}, Queue: "q",
		State: store.Dead, Source: "/s", MessageID: "1", History: []byte("[]"),
	}
	scheduled := event("scheduled")
	scheduled.Due = time.Now().Add(time.Hour)
	steps := []func(ctx context.Context, tx store.Tx) error{
		func(ctx context.Context, tx store.Tx) error {
			return tx.Append(ctx, event("1"), event("2"), letter, scheduled)
		},
		func(ctx context.Context, tx store.Tx) error {
			first, _, err := tx.Claim(ctx, "space", "id")
			if err == nil && !first {
				err = errors.New("the first claim is not the first")
			}
			return errors.Join(err, tx.Save(ctx, "space", "id", []byte("saved\x00")))
		},
		func(ctx context.Context, tx store.Tx) error {
			first, saved, err := tx.Claim(ctx, "space", "id")
			if err == nil && (first || string(saved) != "saved\x00") {
				err = fmt.Errorf("the second claim: %v, %q", first, saved)
			}
			return err
		},
	}
	for _, to := range []store.State{store.Dead, store.Held, store.Ready, store.Gone} {
		steps = append(steps, func(ctx context.Context, tx store.Tx) error {
			var ids []int64
			for r, err := range s.List(ctx, store.Filter{}) {
				if err != nil {
					return err
				}
				ids = append(ids, r.ID)
			}
			if err := tx.Note(ctx, ids[0], []byte("[1]")); err != nil {
				return err
			}
			n, err := tx.Move(ctx, to, ids...)
			if err == nil && n != 4 {
				err = fmt.Errorf("Move to %v found %d rows, want 4", to, n)
			}
			return err
		})
	}
	for i, step := range steps {
		if err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return step(ctx, tx.StoreTx()) }); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	wantEvents(t, s)
	if _, err := s.Status(t.Context()); err != nil {
		t.Error(err)
	}
}
