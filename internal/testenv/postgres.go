package testenv

import (
	"os/exec"
	"testing"
)

// Postgres is the URL of a PostgreSQL server whose user may do anything, with fsync on, from TIDINGS_TEST_POSTGRES_URL. Other tests use
// the same server and database at the same time, so a test makes a database or a schema with a random name, and drops it.
func Postgres(tb testing.TB) string {
	tb.Helper()
	return server(tb, "a PostgreSQL server", "TIDINGS_TEST_POSTGRES_URL")
}

// PgBouncer is the installed program, for tests that start a pooler of their own.
func PgBouncer(tb testing.TB) string {
	tb.Helper()
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	const complaint = "this test needs PgBouncer: run 'scripts/services up --install'"
	if CI() {
		tb.Fatal(complaint)
	}
	tb.Skip(complaint)
	return ""
}
