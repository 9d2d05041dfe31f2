package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
	"github.com/tidings-go/tidings/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, fixture)
}

func fixture(tb testing.TB) storetest.Fixture {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "test.db")
	exec(tb, open(tb, path), `CREATE TABLE counters (key TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT`)
	reopen := func(tb testing.TB) store.Store {
		tb.Helper()
		return open(tb, path)
	}
	return storetest.Fixture{Open: reopen, Next: next}
}

func open(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), path, sqlite.Config{})
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

// exec runs a statement in a transaction.
func exec(tb testing.TB, s *sqlite.Store, query string, args ...any) {
	tb.Helper()
	err := s.InTx(tb.Context(), func(ctx context.Context, tx store.Native) error {
		_, err := native(tx).ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func native(tx store.Native) *sqlite.Tx {
	t, _ := tx.(*sqlite.Tx)
	return t
}

// next counts in a table of the user's own.
func next(ctx context.Context, tx store.Native, key string) (n int, err error) {
	const count = `INSERT INTO counters (key, n) VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET n = n + 1 RETURNING n`
	err = native(tx).QueryRowContext(ctx, count, key).Scan(&n)
	return n, err
}

// ready opens a migrated store.
func ready(tb testing.TB, cfg sqlite.Config) (s *sqlite.Store, path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "test.db")
	s, err := sqlite.Open(tb.Context(), path, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s, path
}

func TestEveryConnectionIsDurableAndChecksForeignKeys(t *testing.T) {
	s, _ := ready(t, sqlite.Config{})
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		if got := column(t, s, `PRAGMA `+name); got[0] != want {
			t.Errorf("DB has %s = %s, want %s", name, got[0], want)
		}
		err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
			var got string
			if err := native(tx).QueryRowContext(ctx, `PRAGMA `+name).Scan(&got); err != nil || got != want {
				t.Errorf("InTx has %s = %s, want %s (%v)", name, got, want, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPlaceholdersOfPostgreSQL(t *testing.T) {
	s, _ := ready(t, sqlite.Config{})
	err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
		var got string
		err := native(tx).QueryRowContext(ctx, `SELECT $2 || '-' || $1 || '-' || $2 || '-' || $10`, 1, "b", 3, 4, 5, 6, 7, 8, 9, "ten").Scan(&got)
		if got != "b-1-b-ten" {
			t.Errorf("the placeholders gave %q", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStrangePaths(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c=d#e%20ü&f.db")
	if err := open(t, path).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"", ":memory:", "file:x.db", filepath.Join(t.TempDir(), "missing", "x.db")} {
		if _, err := sqlite.Open(t.Context(), wrong, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), "sqlite: open "+wrong) {
			t.Errorf("Open(%q) returned %v", wrong, err)
		}
	}
	if _, err := sqlite.Open(t.Context(), path, sqlite.Config{Poll: -1}); err == nil {
		t.Error("Open took a negative Poll")
	}
}

func TestDatabasesOfOtherVersions(t *testing.T) {
	s, path := ready(t, sqlite.Config{})
	exec(t, s, `INSERT INTO tidings_migrations (version, name, at) VALUES (99, 'the future', 0)`)
	if err := s.Migrate(t.Context()); !errors.Is(err, store.ErrNewer) {
		t.Errorf("Migrate returned %v, want store.ErrNewer", err)
	}
	if _, err := sqlite.Open(t.Context(), path, sqlite.Config{}); !errors.Is(err, store.ErrNewer) {
		t.Errorf("Open returned %v, want store.ErrNewer", err)
	}

	fresh := open(t, filepath.Join(t.TempDir(), "fresh.db"))
	err := fresh.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, store.Row{}) })
	if !errors.Is(err, store.ErrNotMigrated) {
		t.Errorf("Append returned %v, want store.ErrNotMigrated", err)
	}
	for _, err := range fresh.List(t.Context(), store.Filter{}) {
		if !errors.Is(err, store.ErrNotMigrated) {
			t.Errorf("List returned %v, want store.ErrNotMigrated", err)
		}
	}
}

func TestJoin(t *testing.T) {
	s, _ := ready(t, sqlite.Config{})
	for _, commit := range []bool{false, true} {
		tx, err := s.DB().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		joined := sqlite.Join(tx)
		if err := joined.StoreTx().Append(t.Context(), store.Row{Record: broker.Record{Value: fmt.Append(nil, commit)}}); err != nil {
			t.Fatal(err)
		}
		end := tx.Rollback
		if commit {
			end = tx.Commit
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := joined.StoreTx().Append(t.Context(), store.Row{}); !errors.Is(err, store.ErrTxDone) {
			t.Errorf("Append to a joined transaction that is over returned %v, want store.ErrTxDone", err)
		}
	}
	if sqlite.Join(nil).StoreTx() != nil {
		t.Error("joining nil gives a transaction with a part")
	}
	var got []string
	for r := range s.List(t.Context(), store.Filter{}) {
		got = append(got, string(r.Record.Value))
	}
	if len(got) != 1 || got[0] != "true" {
		t.Errorf("the rows are %q, want that of the commit", got)
	}
}

func TestWaitingForAnotherProcessEnds(t *testing.T) {
	s, path := ready(t, sqlite.Config{BusyTimeout: 300 * time.Millisecond})
	tx, err := open(t, path).DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	nothing := func(context.Context, store.Native) error { return nil }
	if err := s.InTx(t.Context(), nothing); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("behind another process InTx returned %v, want that the database is locked", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.InTx(ctx, nothing); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("behind another process InTx returned %v, want the end of its context", err)
	}
}

func TestContextOfAnEndedTransactionBeginsAnother(t *testing.T) {
	s, _ := ready(t, sqlite.Config{})
	contexts := make(chan context.Context, 2)
	keep := func(ctx context.Context, _ store.Native) error {
		contexts <- ctx
		return nil
	}
	if err := s.InTx(t.Context(), keep); err != nil {
		t.Fatal(err)
	}
	if err := s.InTx(<-contexts, keep); err != nil {
		t.Errorf("a context that outlived its transaction is refused: %v", err)
	}
}

func TestOldClaimsAreForgotten(t *testing.T) {
	s, _ := ready(t, sqlite.Config{Retention: time.Hour})
	old := time.Now().Add(-2 * time.Hour).UnixNano()
	exec(t, s, `INSERT INTO tidings_seen (space, id, at) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
		SELECT 'old', i, $1 FROM n`, old)
	exec(t, s, `INSERT INTO tidings_seen (space, id, at) VALUES ('young', '1', $1)`, time.Now().UnixNano())

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := s.Lanes(ctx, "", func(ctx context.Context, _ broker.Partition) {
		for ctx.Err() == nil && column(t, s, `SELECT count(*) FROM tidings_seen`)[0] != "1" {
			<-time.After(5 * time.Millisecond)
		}
		cancel()
	})
	if err != nil {
		t.Fatal(err)
	}
	if left := column(t, s, `SELECT space FROM tidings_seen`); len(left) != 1 || left[0] != "young" {
		t.Errorf("%d claims are left, want only the young one", len(left))
	}
}

func TestListOfDeadRowsReadsNoOthers(t *testing.T) {
	s, _ := ready(t, sqlite.Config{})
	query, args := sqlite.ListQuery(store.Filter{Queues: []string{"q"}, States: []store.State{store.Dead}, Limit: 1})
	rows, err := s.DB().QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan string
	for rows.Next() {
		var id, parent, unused int
		if err := rows.Scan(&id, &parent, &unused, &plan); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, "tidings_rows_dead (queue=? AND id>?)") {
			t.Errorf("the plan is %q", plan)
		}
	}
	if err := rows.Err(); err != nil || plan == "" {
		t.Errorf("there is no plan: %v", err)
	}
}

func TestAFileThatCanNotBeOpenedIsExplained(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "nowhere", "shop.db"): "is its folder there",
		text: "is this the right file",
	} {
		if _, err := sqlite.Open(t.Context(), path, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}
