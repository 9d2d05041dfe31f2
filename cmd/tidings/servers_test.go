package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/tidings-go/tidings/internal/testenv"
)

// serveArgument makes this test binary a nats-server: what is killed must be a process of its own.
const serveArgument = "serve-nats"

// brokerProcess is a real server in a process of its own, which can be killed and started again on its data and address.
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

func startNATS(t *testing.T) *brokerProcess {
	t.Helper()
	port, dir := fmt.Sprint(testenv.FreePort(t)), t.TempDir()
	p := &brokerProcess{t: t, url: "nats://127.0.0.1:" + port, start: func(p *brokerProcess) *exec.Cmd {
		cmd := exec.Command(os.Args[0], serveArgument, port, dir)
		if _, err := cmd.StdinPipe(); err != nil {
			p.t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			p.t.Fatal(err)
		}
		if err = cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) != "ready" {
			p.t.Fatalf("nats-server did not start: %q, %v", line, err)
		}
		return cmd
	}}
	p.run()
	t.Cleanup(p.kill)
	return p
}

// serveNATS runs a nats-server until it is killed, or its parent ends and so closes standard input.
func serveNATS(port, dir string) {
	options := &server.Options{Host: "127.0.0.1", JetStream: true, StoreDir: dir, SyncAlways: true, NoLog: true, NoSigs: true}
	if _, err := fmt.Sscan(port, &options.Port); err != nil {
		os.Exit(1)
	}
	s, err := server.NewServer(options)
	if err != nil {
		os.Exit(1)
	}
	s.Start()
	if s.ReadyForConnections(20 * time.Second) {
		fmt.Println("ready")
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	os.Exit(0)
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
		testenv.Eventually(p.t, time.Minute, func() error {
			conn, err := new(net.Dialer).DialContext(p.t.Context(), "tcp", address)
			if err == nil {
				err = conn.Close()
			}
			return err
		})
		return cmd
	}}
	p.run()
	t.Cleanup(p.kill)
	return p
}
