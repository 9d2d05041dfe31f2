package postgres_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store/postgres"
	"github.com/tidings-go/tidings/store/storetest"
)

// The whole suite, with all but the relays' sessions through a pooler of transactions. It takes half a minute and says little more than the test below.
func TestStoreThroughPgBouncer(t *testing.T) {
	t.Parallel()
	if !testenv.Soak() {
		return
	}
	server := pooled(t) + "&default_query_exec_mode=cache_describe"
	storetest.Run(t, at(server, postgres.Config{Direct: testenv.Postgres(t)}))
}

// pgx has three modes that need no prepared statement to stay on its connection. Each of them, at both doors, does one of everything. (Its describe_exec
// sends a statement on two trips, which the pooler may send to two servers.)
func TestModesThroughPgBouncer(t *testing.T) {
	t.Parallel()
	server := pooled(t)
	for _, mode := range []string{"cache_describe", "exec", "simple_protocol"} {
		for _, sqlDoor := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, SQL %v", mode, sqlDoor), func(t *testing.T) {
				t.Parallel()
				cfg := postgres.Config{Schema: newSchema(t), SQL: sqlDoor, Direct: testenv.Postgres(t), MaxRows: 1000, MaxAge: time.Hour}
				s := open(t, server+"&default_query_exec_mode="+mode, cfg)
				if err := s.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				oneOfEverything(t, s)
			})
		}
	}
}

// pooled starts a PgBouncer and returns its URL.
func pooled(t *testing.T) string {
	t.Helper()
	direct, err := pgx.ParseConfig(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	program, dir, port := testenv.PgBouncer(t), t.TempDir(), testenv.FreePort(t)
	file, users := filepath.Join(dir, "pgbouncer.ini"), filepath.Join(dir, "users.txt")
	settings := fmt.Sprintf(`[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 10
max_client_conn = 500
`, direct.Host, direct.Port, port, users)
	for name, text := range map[string]string{file: settings, users: fmt.Sprintf("%q %q\n", direct.User, direct.Password)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := osexec.CommandContext(context.WithoutCancel(t.Context()), program, file)
	if os.Getuid() == 0 { // PgBouncer refuses root.
		for name, mode := range map[string]os.FileMode{file: 0o644, users: 0o644, dir: 0o755, filepath.Dir(dir): 0o755} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
		}
		cmd.SysProcAttr = asUser(65534, 65534)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	testenv.Eventually(t, 20*time.Second, func() error {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	return changed(t, testenv.Postgres(t), func(u *url.URL) { u.Host = address })
}
