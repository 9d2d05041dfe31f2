package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// newcomer is somebody who begins in an empty folder.
type newcomer struct {
	*testing.T
	dir  string // where they are
	root string // the checkout
}

// in calls a program where they are, and returns what it says.
func (n *newcomer) in(program string, args ...string) string {
	n.Helper()
	ctx, cancel := context.WithTimeout(n.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = n.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		n.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (n *newcomer) tidings(args ...string) string {
	n.Helper()
	return n.in(os.Args[0], append([]string{"tidings"}, args...)...)
}

// readme are the commands of the service's README that begin so, without that beginning.
func (n *newcomer) readme(beginning string) []string {
	n.Helper()
	readme, err := os.ReadFile(filepath.Join(n.dir, "README.md"))
	if err != nil {
		n.Fatal(err)
	}
	var commands []string
	for line := range strings.Lines(string(readme)) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), beginning); ok {
			commands = append(commands, command)
		}
	}
	if len(commands) == 0 {
		n.Fatalf("the README has no command %q", beginning)
	}
	return commands
}

// lint uses the project's own rules, as for its own examples. "make unit" needs no linters, so it is for CI.
func (n *newcomer) lint() {
	n.Helper()
	if !testenv.CI() {
		return
	}
	n.in("go", "tool", "-modfile="+filepath.Join(n.root, "tools", "go.mod"), "golangci-lint", "run", "--allow-parallel-runners", "./...")
}

// From an empty folder to an event that is handled. What is written compiles, passes the project's lint and its own tests.
func TestANewcomersPath(t *testing.T) {
	t.Parallel()
	n := &newcomer{T: t}
	n.root, n.dir = beginAt(t)
	if said := n.tidings("new", "service", "shop"); !strings.Contains(said, "Next:\n  cd shop\n") {
		t.Errorf("it says:\n%s", said)
	}
	n.dir = filepath.Join(n.dir, "shop")
	n.lint()

	for _, command := range n.readme("tidings ") {
		n.tidings(strings.Fields(command)...)
	}
	n.tidings("new", "event", "shop", "OrderPaid", "order_id:uuid:key", "tenant_id:string:key", "rate:float64", "items:[]string", "paid_at:time")
	n.tidings("new", "event", "shop", "OrderPaid", "--version", "v2", "order_id:uuid:key", "rate:int64", "items:[]string", "currency:string")
	n.tidings("new", "handler", "order-desk", "OrderPaid", "--tx")
	n.tidings("new", "event", "billing", "SpeedTest", "--internal", "api_url:string:subject", "ok:bool", "n:int")
	n.tidings("new", "handler", "order-desk", "SpeedTest")
	if again := n.tidings("new", "handler", "order-desk", "SpeedTest"); !strings.Contains(again, "nothing was changed") {
		t.Errorf("again:\n%s", again)
	}
	n.in("go", "vet", "./...")
	n.lint()
	n.in("go", "mod", "tidy", "-diff")
	n.in("go", "test", "-shuffle=on", "./...")
	n.in("go", "build", "-o", "service", ".")
	n.usesIt()
}

// beginAt is the checkout, and an empty folder that the checkout's lint takes for its examples.
func beginAt(t *testing.T) (root, dir string) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	above := t.TempDir()
	if err = os.WriteFile(filepath.Join(above, ".golangci.yml"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(above, "examples")
	if err = os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	return root, dir
}

// usesIt runs the service, publishes by HTTP what the README says, sees it handled, looks at the service, and ends it.
func (n *newcomer) usesIt() {
	n.Helper()
	var log lockedBuffer
	service := exec.CommandContext(n.Context(), filepath.Join(n.dir, "service"), "--addr", "127.0.0.1:0")
	service.Dir, service.Stdout, service.Stderr = n.dir, &log, &log
	if err := service.Start(); err != nil {
		n.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- service.Wait() }()
	defer func() { _ = service.Process.Kill() }() // it has ended, if all is well

	logged := func(pattern string) string {
		n.Helper()
		var found []string
		testenv.Eventually(n, 2*time.Minute, func() error {
			select {
			case err := <-ended:
				n.Fatalf("the service ended: %v\n%s", err, log.String())
			default:
			}
			if found = regexp.MustCompile(pattern).FindStringSubmatch(log.String()); found == nil {
				return errors.New("not logged: " + pattern + "\n" + log.String())
			}
			return nil
		})
		return found[1]
	}
	url := logged(`listening url=(\S+)`)
	for _, command := range n.readme("curl ") {
		_, path, _ := strings.Cut(command, "127.0.0.1:8080")
		post(n.T, url+path, strings.Split(command, "'")[1])
	}
	logged(`handled subscription=(mailer) event=.*a-1 .*42`)
	for _, command := range n.readme("go run . tail ") {
		if tail := n.in("./service", append([]string{"tail"}, strings.Fields(command)...)...); !strings.Contains(tail, "shop.OrderPlaced.v1 key=a-1 ") {
			n.Errorf("tail:\n%s", tail)
		}
	}
	post(n.T, url+"/events/shop.OrderPaid.v1", `{"order_id":"0198f2a0-5b1c-7c3e-9d4f-112233445566","tenant_id":"t","rate":1.5,"items":["tea"],"paid_at":"2026-03-01T12:00:00Z"}`)
	logged(`handled subscription=(order-desk) event=.*tea`) // as the v2 that is made of it
	if d := n.in("./service", "describe"); !strings.Contains(d, "order-desk") || !strings.Contains(d, "dev.shop.public.shops.v2") {
		n.Errorf("describe:\n%s", d)
	}
	n.in("./service", "doctor")
	n.in("./service", "--broker", "memory:", "--store", "sqlite:other.db", "topics", "apply")

	if err := service.Process.Signal(syscall.SIGTERM); err != nil {
		n.Fatal(err)
	}
	if err := <-ended; err != nil {
		n.Errorf("the service ended with %v\n%s", err, log.String())
	}
}

func post(t *testing.T, url, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if got, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || !bytes.HasPrefix(got, []byte(`{"id":"`)) {
		t.Errorf("%s: %s %s %v", url, answer.Status, got, err)
	}
}

// The command is part of the module that it has written: what the README says works.
func TestTheCommandInstallsFromTheNewModule(t *testing.T) {
	t.Parallel()
	n := &newcomer{T: t}
	n.root, n.dir = beginAt(t)
	n.tidings("new", "service", "shop", "--dir", "one/two", "--module", "example.org/acme/shop", "--replace", n.root)
	n.dir = filepath.Join(n.dir, "one", "two")
	n.in("go", "build", "-o", filepath.Join(n.dir, "tool"), "github.com/tidings-go/tidings/cmd/tidings")
	n.in("./tool", "new", "event", "shop", "OrderPlaced", "order_id:string:key")
	n.in("go", "vet", "./...")
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"want one name":            {"service"},
		`service "My Shop": want`:  {"service", "My Shop"},
		"want a domain, a name":    {"event", "shop"},
		"want a subscription and":  {"handler", "mailer"},
		"there is no service in":   {"event", "shop", "OrderPlaced", "id:int", "--dir", t.TempDir()},
		"with tidings' source wit": {"service", "shop", "--replace", t.TempDir()},
		`unknown flag: --colour`:   {"service", "shop", "--colour", "red"},
	} {
		if r := tidings(t, "", append([]string{"new"}, args...)...); r.code != exitUsage || !strings.Contains(r.status, want) {
			t.Errorf("%q: exit %d, %s", args, r.code, r.status)
		}
	}
}

// lockedBuffer takes what a process says while the test looks at it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
