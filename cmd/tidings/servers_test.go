package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// broken is a broker of processes of its own, of which one can be killed and started again on its data and address.
type broken interface {
	kill()
	run()
}

// brokerProcess is a real server in a process of its own.
type brokerProcess struct {
	t     *testing.T
	url   string
	start func(p *brokerProcess) *exec.Cmd
	cmd   *exec.Cmd
}

func (p *brokerProcess) run() {
	p.t.Helper()
	p.cmd = p.start(p)
}

func (p *brokerProcess) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// startRedis starts a Redis that forgets nothing.
func startRedis(t *testing.T) *brokerProcess {
	t.Helper()
	testenv.Redis(t) // says what is missing
	port, dir := fmt.Sprint(testenv.FreePort(t)), t.TempDir()
	address := "127.0.0.1:" + port
	p := &brokerProcess{t: t, url: "redis://" + address, start: func(p *brokerProcess) *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir,
			"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning")
		if err := cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
		awaitListener(p.t, address)
		return cmd
	}}
	p.run()
	t.Cleanup(p.kill)
	return p
}

// awaitListener waits until somebody answers at an address.
func awaitListener(t *testing.T, address string) {
	t.Helper()
	testenv.Eventually(t, time.Minute, func() error {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

// startKafka starts a Kafka of its own, from the program that scripts/services has installed.
func startKafka(t *testing.T) *brokerProcess {
	t.Helper()
	home := testenv.KafkaHome(t)
	dir := t.TempDir()
	port, config := testenv.FreePort(t), filepath.Join(dir, "server.properties")
	template, err := os.ReadFile("../../scripts/services.d/kafka.properties")
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("@PORT@", fmt.Sprint(port), "@CONTROLLER@", fmt.Sprint(testenv.FreePort(t)), "@DATA@", filepath.Join(dir, "data"))
	if err := os.WriteFile(config, []byte(fill.Replace(string(template))), 0o600); err != nil {
		t.Fatal(err)
	}
	java := func(ctx context.Context, args ...string) *exec.Cmd {
		common := []string{"-Xmx384m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", filepath.Join(home, "*")}
		return exec.CommandContext(ctx, "java", append(common, args...)...)
	}
	format := java(t.Context(), "kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAQ", "--config", config)
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format the log folder: %v\n%s", err, out)
	}
	address := fmt.Sprint("127.0.0.1:", port)
	p := &brokerProcess{t: t, url: "kafka://" + address, start: func(p *brokerProcess) *exec.Cmd {
		cmd := java(context.Background(), "kafka.Kafka", config)
		if err := cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
		awaitListener(p.t, address)
		return cmd
	}}
	p.run()
	t.Cleanup(p.kill)
	return p
}
