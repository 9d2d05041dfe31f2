//go:build unix

package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/redis"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestMain(m *testing.M) {
	if brokertest.Child(openChild) {
		return
	}
	goredis.SetLogger(quiet{})
	goleak.VerifyTestMain(m)
}

// quiet drops what go-redis prints about connections that tests break.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// server is a redis-server in a process of its own, which can be killed and stopped.
type server struct {
	tb   testing.TB
	port int
	dir  string
	args []string
	cmd  *exec.Cmd
}

// durable are the arguments of a server that forgets nothing.
var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

func startServer(tb testing.TB, args ...string) *server {
	tb.Helper()
	s := &server{tb: tb, port: testenv.FreePort(tb), dir: tb.TempDir(), args: args}
	s.start()
	tb.Cleanup(s.kill)
	return s
}

func (s *server) address() string { return fmt.Sprint("127.0.0.1:", s.port) }

func (s *server) url() string { return "redis://" + s.address() }

func (s *server) start() {
	s.tb.Helper()
	args := []string{"--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--loglevel", "warning"}
	s.run("redis-server", append(args, s.args...)...)
}

// run starts a program and waits until it answers on the port.
func (s *server) run(program string, args ...string) {
	s.tb.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if testenv.CI() {
			s.tb.Fatalf("this test starts a server of its own: %v: run 'scripts/services up --install'", err)
		}
		s.tb.Skipf("this test starts a server of its own: %v: run 'scripts/services up --install'", err)
	}
	output := filepath.Join(s.dir, "output")
	log, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.cmd = exec.Command(program, args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	endWithParent(s.cmd)
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	client := goredis.NewClient(&goredis.Options{Addr: s.address(), MaxRetries: -1, DialerRetries: 1})
	defer func() { _ = client.Close() }()
	testenv.Eventually(s.tb, 20*time.Second, func() error {
		// A server that wants a password, or has no database like a sentinel, is up too.
		err := client.Ping(s.tb.Context()).Err()
		if goredis.IsAuthError(err) {
			return nil
		}
		if err != nil {
			said, _ := os.ReadFile(output)
			return fmt.Errorf("%s did not start: %w\n%s", program, err, said)
		}
		return nil
	})
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// pause makes the server deaf without closing anything.
func (s *server) pause() (resume func()) {
	s.tb.Helper()
	s.signal(syscall.SIGSTOP)
	return func() { s.signal(syscall.SIGCONT) }
}

func (s *server) signal(signal os.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.tb.Fatal(err)
	}
}

// writeConfig writes a file for servers that change their own configuration.
func (s *server) writeConfig(name, text string) string {
	s.tb.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.tb.Fatal(err)
	}
	return path
}

// open returns a broker on the server, which is closed at the end of the test.
func open(tb testing.TB, url string, cfg redis.Config) *redis.Broker {
	tb.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	b, err := redis.Open(tb.Context(), url, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

// raw returns a plain client.
func raw(tb testing.TB, s *server) *goredis.Client {
	tb.Helper()
	client := goredis.NewClient(&goredis.Options{Addr: s.address(), Protocol: 2})
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

func apply(tb testing.TB, b broker.Broker, want ...broker.Topic) []broker.TopicState {
	tb.Helper()
	states, err := b.Topics(tb.Context(), broker.Apply, want...)
	if err != nil {
		tb.Fatal(err)
	}
	return states
}

func openChild(ctx context.Context, url string) (broker.Broker, func(), error) {
	b, err := redis.Open(ctx, url, conformanceConfig)
	if err != nil {
		return nil, nil, err
	}
	return b, func() { _ = b.Close() }, nil
}
