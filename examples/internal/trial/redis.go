package trial

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// Redis starts a Redis of the test's own, in which nothing is yet, and returns its URL.
func Redis(t *testing.T) string {
	t.Helper()
	testenv.Redis(t) // says what is missing
	port := strconv.Itoa(testenv.FreePort(t))
	args := []string{"--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "yes", "--loglevel", "warning"}
	server := exec.CommandContext(context.WithoutCancel(t.Context()), "redis-server", args...) //nolint:gosec // arguments of the test's own
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	address := net.JoinHostPort("127.0.0.1", port)
	testenv.Eventually(t, time.Minute, func() error {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return fmt.Errorf("redis-server did not start: %w", err)
		}
		return conn.Close()
	})
	return "redis://" + address
}
