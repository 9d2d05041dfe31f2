//go:build unix

package nats_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/tidings-go/tidings/internal/testenv"
)

// serveArgument makes this test binary a nats-server: what is killed must be a process of its own.
const serveArgument = "serve-nats"

// processLimit is the largest record of a server in a process of its own: more than nats-server takes if it is not told to.
const processLimit = 16 << 20

// serve runs a nats-server on a port and folder until it is killed.
func serve(port int, dir string) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, SyncAlways: true, NoLog: true, NoSigs: true, MaxPayload: processLimit,
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	// The parent closes standard input when it ends, however it ends.
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}()
	s.Start()
	if s.ReadyForConnections(20 * time.Second) {
		fmt.Println("ready")
	}
	wait := make(chan os.Signal, 1)
	signal.Notify(wait, syscall.SIGTERM)
	<-wait
	s.Shutdown()
}

// process is a nats-server in a process of its own, which can be killed and stopped.
type process struct {
	t    testing.TB
	port int
	dir  string
	cmd  *exec.Cmd
}

func startProcess(tb testing.TB) *process {
	tb.Helper()
	p := &process{t: tb, port: testenv.FreePort(tb), dir: tb.TempDir()}
	p.start()
	tb.Cleanup(p.kill)
	return p
}

func (p *process) url() string { return "nats://" + p.address() }

func (p *process) address() string { return fmt.Sprint("127.0.0.1:", p.port) }

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0], serveArgument, fmt.Sprint(p.port), p.dir)
	if _, err := p.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err = p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != "ready" {
		p.t.Fatalf("nats-server did not start: %q, %v", line, err)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// pause makes the server deaf without closing anything.
func (p *process) pause() (resume func()) {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	return func() { p.signal(syscall.SIGCONT) }
}
