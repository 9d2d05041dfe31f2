package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/testenv"
)

// startPostgres starts a PostgreSQL of its own, from the newest of the installed programs.
func startPostgres(t *testing.T) *brokerProcess {
	t.Helper()
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(programs) == 0 {
		testenv.Postgres(t) // says what is missing
		t.Skip("this PostgreSQL is not installed where tests could start one of their own")
	}
	program := programs[len(programs)-1]
	dir, err := os.MkdirTemp("", "tidings-postgres-") //nolint:usetesting // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := func(name string, args ...string) *exec.Cmd {
		return exec.CommandContext(context.Background(), name, args...)
	}
	if os.Getuid() == 0 { // PostgreSQL refuses root.
		if out, err := exec.CommandContext(t.Context(), "chown", "postgres", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		as = func(name string, args ...string) *exec.Cmd {
			return exec.CommandContext(context.Background(), "setpriv", append([]string{"--reuid", "postgres", "--regid", "postgres", "--init-groups", name}, args...)...)
		}
	}
	data, port := filepath.Join(dir, "data"), testenv.FreePort(t)
	initdb := as(filepath.Join(filepath.Dir(program), "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	p := &brokerProcess{t: t, url: "postgres://postgres@" + address + "/postgres?sslmode=disable", start: func(p *brokerProcess) *exec.Cmd {
		// A server whose postmaster was killed can't be started while one of its children still lives: then the start is tried again.
		var cmd *exec.Cmd
		tries := 0
		testenv.Eventually(p.t, time.Minute, func() error {
			if tries++; tries%100 == 1 {
				if cmd != nil {
					_ = cmd.Process.Kill()
					_ = cmd.Wait()
				}
				cmd = as(program, "-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(port), "-c", "unix_socket_directories="+dir)
				cmd.Dir = dir
				if err := cmd.Start(); err != nil {
					return err
				}
			}
			return canConnect(p.t, address, p.url)
		})
		return cmd
	}}
	p.run()
	t.Cleanup(p.kill)
	return p
}

func canConnect(t *testing.T, address, url string) error {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return err
	}
	_ = conn.Close()
	s, err := connect.Store(t.Context(), url)
	if err != nil {
		return err
	}
	return s.Close()
}

// A relay of its own joins; it, the database and the broker are each killed once in the middle. Nothing is lost, doubled or out of order.
func TestDemoOnPostgreSQLAndKafka(t *testing.T) {
	t.Parallel()
	database, kafka := startPostgres(t), startKafka(t)
	total := 400
	if testenv.Soak() {
		total = 20_000
	}
	cmd, out, status := command(t.Context(), "demo", "--broker", kafka.url, "--store", database.url, "--bookings", strconv.Itoa(total), "-o", "json")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Logf("the demo said:\n%s%s", out, status)
		}
	})
	relay := func() *exec.Cmd {
		joined, _, _ := command(context.WithoutCancel(t.Context()), "relay", "--broker", kafka.url, "--store", database.url)
		if err := joined.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = joined.Process.Kill()
			_ = joined.Wait()
		})
		return joined
	}
	awaitEvents(t, kafka.url, uint64(total)/2)
	first := relay()
	awaitEvents(t, kafka.url, uint64(total))
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	relay()
	database.kill()
	database.run()
	awaitEvents(t, kafka.url, uint64(total)*3/2)
	kafka.kill()
	kafka.run()
	err := cmd.Wait()
	r := result{code: cmd.ProcessState.ExitCode(), out: out.String(), status: status.String()}
	if s := r.summary(t); err != nil || s.Bookings != int64(total) || s.PublicEvents != int64(4*total+total/10) {
		t.Fatalf("relay, database and broker were killed in the middle: %v, %+v\n%s", err, s, r.status)
	}
}
