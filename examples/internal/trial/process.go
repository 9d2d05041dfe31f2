package trial

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// child is what a process of tests is that [Program] has started.
const child = "example"

// Main is TestMain. It makes the tests' binary the program when a test says so, so that tests can start and kill it. cleanUp is called after all tests.
func Main(m *testing.M, program func(), cleanUp ...func() error) {
	if testenv.Child() == child {
		program()
		os.Exit(0)
	}
	code := m.Run()
	for _, c := range cleanUp {
		_ = c() // what stays in a temporary folder is the system's to clean up
	}
	os.Exit(code)
}

// Program is the program that is tested, as a command.
func Program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return AsProgram(exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...)) //nolint:gosec // it is this binary
}

// AsProgram is for a command in which this binary (os.Args[0]) is somehow started: that is then the program.
func AsProgram(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = testenv.AsChild(child)
	return cmd
}

// Summary runs the program to its end, and reads the summary that it prints.
func Summary[S any](t *testing.T, args ...string) (s S) {
	t.Helper()
	var out, log bytes.Buffer
	cmd := Program(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	if bad := json.Unmarshal(out.Bytes(), &s); bad != nil || err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, &out, &log)
	}
	return s
}

// KillAtWork starts the program, and kills it (SIGKILL) at a random moment after count has grown by more.
func KillAtWork(t *testing.T, more int64, count func() int64, args ...string) {
	t.Helper()
	before := count()
	p := Start(t, Program(t, args...))
	testenv.Eventually(t, time.Minute, func() error {
		if n := count() - before; n < more {
			return fmt.Errorf("%d of %d in this life", n, more)
		}
		return nil
	})
	<-time.After(rand.N(200 * time.Millisecond))
	p.Kill()
}

// Process is a process that a test has started. What the test has not ended is killed after it.
type Process struct {
	t   *testing.T
	cmd *exec.Cmd

	mu      sync.Mutex
	running bool
	log     bytes.Buffer
	lines   []string
	url     string
	// welcomed is closed when it has said what to try, or has ended before, and silent when it has ended.
	welcomed, silent chan struct{}
}

// Start starts a command.
func Start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd}
	p.start()
	t.Cleanup(func() {
		if p.running {
			p.Kill()
		}
		if t.Failed() {
			t.Logf("%v said at last:\n%s", cmd.Args[1:], p.Log())
		}
	})
	return p
}

func (p *Process) start() {
	p.t.Helper()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Stderr = (*processLog)(p)
	p.mu.Lock()
	p.log, p.lines, p.url = bytes.Buffer{}, nil, ""
	p.mu.Unlock()
	p.welcomed, p.silent = make(chan struct{}), make(chan struct{})
	if err = p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.running = true
	go p.read(out, p.welcomed, p.silent)
}

// read reads what it prints, until it has ended.
func (p *Process) read(out io.Reader, welcomed, silent chan struct{}) {
	defer close(silent)
	welcome := sync.OnceFunc(func() { close(welcomed) })
	defer welcome()
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		line := scanner.Text()
		p.mu.Lock()
		p.lines = append(p.lines, line)
		if _, url, ok := strings.Cut(line, " is at "); ok {
			p.url = url
		}
		p.mu.Unlock()
		if strings.HasPrefix(line, "Press Ctrl-C") {
			welcome()
		}
	}
}

// processLog is a process as the writer of its log.
type processLog Process

// Write adds to the log.
func (l *processLog) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(data)
}

// Log is what it has written to standard error in this life.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// URL is where it listens in this life: at another port in each. Empty: nowhere yet.
func (p *Process) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url
}

// Lines waits until it has said what to try, and returns the lines that begin so.
func (p *Process) Lines(begin string) []string {
	p.t.Helper()
	select {
	case <-p.welcomed:
	case <-time.After(time.Minute):
	}
	if p.URL() == "" {
		p.t.Fatalf("%v did not start", p.cmd.Args[1:])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
	for _, line := range p.lines {
		if strings.HasPrefix(line, begin) {
			found = append(found, line)
		}
	}
	return found
}

// Kill kills it (SIGKILL), which must not have ended by itself.
func (p *Process) Kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(err)
	}
	if p.wait() == nil {
		p.t.Errorf("%v ended before it was killed", p.cmd.Args[1:])
	}
}

// Again starts what has ended again, with the same arguments.
func (p *Process) Again() {
	p.t.Helper()
	last := p.cmd
	p.cmd = exec.CommandContext(context.WithoutCancel(p.t.Context()), last.Path, last.Args[1:]...) //nolint:gosec // it ran before
	p.cmd.Env = last.Env
	p.start()
}

// Interrupt ends it as Ctrl-C does, when it has started.
func (p *Process) Interrupt() {
	p.t.Helper()
	p.Lines("")
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Error(err)
	}
	if err := p.wait(); err != nil {
		p.t.Errorf("%v ended with %v", p.cmd.Args[1:], err)
	}
}

func (p *Process) wait() error {
	p.running = false
	<-p.silent // Wait wants the pipe read
	return p.cmd.Wait()
}

// AwaitLog waits until its log has this text.
func (p *Process) AwaitLog(text string) {
	p.t.Helper()
	testenv.Eventually(p.t, 20*time.Second, func() error {
		if log := p.Log(); !strings.Contains(log, text) {
			return fmt.Errorf("no %q in\n%s", text, log)
		}
		return nil
	})
}

// Tool is the command tidings, built when it is first asked for. Its zero value is ready; [Main] removes it after all tests.
type Tool struct {
	once sync.Once
	dir  string
	err  error
}

// Path is where the command is.
func (c *Tool) Path(t *testing.T) string {
	t.Helper()
	name := "tidings"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	c.once.Do(func() {
		if c.dir, c.err = os.MkdirTemp("", "tidings-"); c.err != nil { //nolint:usetesting // it outlives the test that asks first
			return
		}
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(c.dir, name), "../../cmd/tidings").CombinedOutput() //nolint:gosec // a folder of our own
		if err != nil {
			c.err = errors.Join(fmt.Errorf("build cmd/tidings: %w: %s", err, out), c.Remove())
		}
	})
	if c.err != nil {
		t.Fatal(c.err)
	}
	return filepath.Join(c.dir, name)
}

// Remove removes the command.
func (c *Tool) Remove() error { return os.RemoveAll(c.dir) }
