package tidings_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
	"github.com/tidings-go/tidings/store/sqlite"
)

func TestCommandsOnSQLite(t *testing.T) {
	t.Parallel()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tidings.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	testCommandsOn(t, s, s.DB(), "orders")
}

func TestCommandsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	schema := "commands_" + uuid.NewString()[:8]
	s, err := postgres.Open(t.Context(), testenv.Postgres(t), postgres.Config{Schema: schema, SQL: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := s.DB().ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA "+schema+" CASCADE")
		if err = errors.Join(err, s.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	testCommandsOn(t, s, s.DB(), schema+".orders")
}

// testCommandsOn handles commands whose rows, events and keys are in one database: all of them are there, or none is.
func testCommandsOn(t *testing.T, s store.Store, db *sql.DB, table string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE "+table+" (shop TEXT NOT NULL, n BIGINT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	rows := func() (n int) {
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	app := newApp(t, func(c *tidings.Config) { c.Store = s })
	app.Emits(placed)
	var got inbox[order]
	app.Subscribe(tidings.Subscription{Name: "all"}, tidings.On(placed, got.take))
	app.Serve(tidings.HandleTx(place, func(ctx context.Context, tx *store.SQLTx, o order) (int, tidings.Events, error) {
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (shop, n) VALUES ($1, $2)", o.Shop, o.N); err != nil {
			return 0, nil, err
		}
		events := tidings.Events{placed.New(o)}
		switch o.N {
		case -1:
			return 0, events, tidings.CodeConflict
		case -2:
			panic("boom")
		}
		return o.N, events, nil
	}))
	defer run(t, app)()

	for n := -2; n <= 0; n++ { // two fail after their insert, and leave nothing behind
		if _, err := place.Call(t.Context(), app, order{"a", n}, tidings.Once("failing")); (err == nil) != (n == 0) {
			t.Errorf("order %d: %v", n, err)
		}
	}
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			if n, err := place.Call(t.Context(), app, order{"a", 7}, tidings.Once("key")); n != 7 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
	calls.Wait()
	if n := rows(); n != 2 {
		t.Errorf("%d rows, want one for each key", n)
	}
	testenv.Eventually(t, time.Minute, func() error {
		if len(got.all()) < 2 {
			return errors.New("an event is missing")
		}
		return nil
	})
	if all := got.all(); len(all) != 2 {
		t.Errorf("published %v", all)
	}
}
