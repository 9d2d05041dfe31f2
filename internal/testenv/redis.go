package testenv

import "testing"

// Redis is the URL of a Redis with appendfsync always, from TIDINGS_TEST_REDIS_URL. Other tests use the same server at the same time, so
// names of topics and groups must be the test's own.
func Redis(tb testing.TB) string {
	tb.Helper()
	return server(tb, "a Redis", "TIDINGS_TEST_REDIS_URL")
}
