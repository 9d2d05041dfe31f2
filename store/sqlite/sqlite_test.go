package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
	"github.com/tidings-go/tidings/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Fixture {
		path := filepath.Join(t.TempDir(), "test.db")
		exec(t, open(t, path), `CREATE TABLE counters (key TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT`)
		return storetest.Fixture{Open: func(t testing.TB) store.Store { return open(t, path) }, Next: next}
	})
}

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// exec runs a statement in a transaction.
func exec(t testing.TB, s *sqlite.Store, query string, args ...any) {
	t.Helper()
	err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
		_, err := native(tx).ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
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
