package testenv

import "testing"

// Postgres is the URL of a PostgreSQL server whose user may do anything, with fsync on, from TIDINGS_TEST_POSTGRES_URL. Other tests use
// the same server and database at the same time, so a test makes a database or a schema with a random name, and drops it.
func Postgres(tb testing.TB) string {
	tb.Helper()
	return server(tb, "a PostgreSQL server", "TIDINGS_TEST_POSTGRES_URL")
}
