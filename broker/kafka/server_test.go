//go:build unix

package kafka_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// server is a Kafka of a test's own: one process, which can be killed, stopped and started again.
type server struct {
	tb      testing.TB
	home    string // with the jars
	dir     string
	address string   // "host:port" without encryption and users
	ports   []string // of other listeners
	cmd     *exec.Cmd
	leash   *os.File // the process dies when it is closed, also by the death of the test
}

// startKafka starts a server with more settings than scripts/services gives it. In them @PORT@ is the port of its
// address, @CONTROLLER@ that of its controller, and @1@, @2@ … stand for free ports of other listeners.
// Credentials are those of StorageTool's --add-scram.
func startKafka(tb testing.TB, settings string, credentials ...string) *server {
	tb.Helper()
	s := &server{tb: tb, home: testenv.KafkaHome(tb), dir: tb.TempDir()}
	common, err := os.ReadFile("../../scripts/services.d/kafka.properties")
	if err != nil {
		tb.Fatal(err)
	}
	port := fmt.Sprint(testenv.FreePort(tb))
	s.address = "127.0.0.1:" + port
	settings = string(common) + settings // Of two settings with one name the later counts.
	for n := 1; strings.Contains(settings, fmt.Sprintf("@%d@", n)); n++ {
		s.ports = append(s.ports, fmt.Sprint(testenv.FreePort(tb)))
		settings = strings.ReplaceAll(settings, fmt.Sprintf("@%d@", n), s.ports[n-1])
	}
	settings = strings.NewReplacer("@PORT@", port, "@CONTROLLER@", fmt.Sprint(testenv.FreePort(tb)), "@DATA@", filepath.Join(s.dir, "data")).Replace(settings)
	if err := os.WriteFile(s.config(), []byte(settings), 0o600); err != nil {
		tb.Fatal(err)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	id[0] &= 0x7f // An id that begins with a hyphen would be taken for an option.
	format := []string{"kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", base64.RawURLEncoding.EncodeToString(id), "--config", s.config()}
	for _, c := range credentials {
		format = append(format, "--add-scram", c)
	}
	if out, err := exec.Command("java", s.java(format...)...).CombinedOutput(); err != nil {
		tb.Fatalf("prepare a folder for Kafka: %v\n%s", err, out)
	}
	s.start()
	tb.Cleanup(s.kill)
	return s
}

func (s *server) config() string { return filepath.Join(s.dir, "server.properties") }

// java are the arguments that run a class of Kafka's, with little memory and a quick start.
func (s *server) java(args ...string) []string {
	return append([]string{
		"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", s.home + "/*",
	}, args...)
}

// start starts the server and waits until it can be used.
func (s *server) start() {
	s.tb.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer log.Close()
	held, leash, err := os.Pipe()
	if err != nil {
		s.tb.Fatal(err)
	}
	defer held.Close()
	s.leash = leash
	const script = `(cat <&3 >/dev/null; kill -9 $$) & exec java "$@" 3<&-`
	s.cmd = exec.Command("sh", append([]string{"-c", script, "kafka"}, s.java("kafka.Kafka", s.config())...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.ExtraFiles = []*os.File{held}
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !s.listens() {
		if <-tick.C; time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.tb.Fatalf("Kafka did not come up:\n%s", text)
		}
	}
}

// listens reports whether the server listens on all of its ports. It does so when it has caught up.
func (s *server) listens() bool {
	addresses := []string{s.address}
	for _, port := range s.ports {
		addresses = append(addresses, "127.0.0.1:"+port)
	}
	for _, address := range addresses {
		conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
		if err != nil {
			return false
		}
		_ = conn.Close()
	}
	return true
}

// kill ends the process as rudely as can be.
func (s *server) kill() {
	_ = s.leash.Close()
	_ = s.cmd.Wait()
}

// pause makes the server deaf without closing anything.
func (s *server) pause() (resume func()) {
	s.signal(syscall.SIGSTOP)
	return func() { s.signal(syscall.SIGCONT) }
}

func (s *server) signal(sig os.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Error(err)
	}
}
