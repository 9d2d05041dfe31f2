package lake_test

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/lake"
)

// Replicas that start together all make the tables.
func TestMigrateFromManyProcessesAtOnce(t *testing.T) {
	t.Parallel()
	for range 5 {
		schema := "lake_" + strings.ReplaceAll(uuid.NewString(), "-", "")
		db, err := sql.Open("pgx", testenv.Postgres(t)+"&search_path="+schema)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
			t.Fatal(err)
		}
		var migrating sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			migrating.Go(func() { errs[i] = lake.Migrate(t.Context(), db) })
		}
		migrating.Wait()
		_, dropped := db.ExecContext(t.Context(), "DROP SCHEMA "+schema+" CASCADE")
		if err := errors.Join(append(errs, dropped, db.Close())...); err != nil {
			t.Fatal(err)
		}
	}
}
