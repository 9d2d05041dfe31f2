package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// TestMain makes this binary the program when a test says so, so that tests can start and kill it.
func TestMain(m *testing.M) {
	if testenv.Child() == "shop" {
		main()
		os.Exit(0)
	}
	code := m.Run()
	if dir := toolDir.Load(); dir != nil {
		_ = os.RemoveAll(*dir)
	}
	os.Exit(code)
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = testenv.AsChild("shop")
	return cmd
}

// finish runs the program to its end and returns its summary.
func finish(t *testing.T, args ...string) summary {
	t.Helper()
	var out, status bytes.Buffer
	cmd := program(t.Context(), args...)
	cmd.Stdout, cmd.Stderr = &out, &status
	err := cmd.Run()
	var s summary
	if bad := json.Unmarshal(out.Bytes(), &s); bad != nil || err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, &out, &status)
	}
	return s
}

// running is a process that has said what to try.
type running struct {
	*exec.Cmd
	lines []string
	log   *safeBuffer
	out   *bufio.Scanner
}

// begin starts the program, or another one, and waits until it has started. It is killed at the end if the test has not ended it.
func begin(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{Cmd: cmd, log: &safeBuffer{}}
	cmd.Stderr = r.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("%v said:\n%s", cmd.Args[1:], r.log)
		}
	})
	r.out = bufio.NewScanner(out)
	for r.out.Scan() {
		if strings.HasPrefix(r.out.Text(), "Press Ctrl-C") {
			return r
		}
		r.lines = append(r.lines, r.out.Text())
	}
	t.Fatalf("%v did not start", cmd.Args[1:])
	return nil
}

func (r *running) kill() {
	_ = r.Process.Kill()
	_ = r.Wait()
}

// interrupt ends the process as Ctrl-C does.
func (r *running) interrupt(t *testing.T) {
	t.Helper()
	if err := r.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for r.out.Scan() { // Wait wants the pipe read
	}
	if err := r.Wait(); err != nil {
		t.Errorf("%v ended with %v\n%s", r.Args[1:], err, r.log)
	}
}

// starting are the lines that begin so.
func (r *running) starting(prefix string) []string {
	var found []string
	for _, line := range r.lines {
		if strings.HasPrefix(line, prefix) {
			found = append(found, line)
		}
	}
	return found
}

// safeBuffer is a buffer that may be read while a process writes.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// tool builds the command tidings, once for all tests.
func tool(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// The program prints lines to try; each of them works as it is printed, one after the other.
func TestTheLinesThatItPrintsWork(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "a shop")
	r := begin(t, program(t.Context(), "--addr", "127.0.0.1:0", "--data", data))
	curls := r.starting("curl ")
	if len(curls) != len(lines) {
		t.Errorf("it printed %d lines to try", len(curls))
	}
	for _, line := range curls {
		testenv.Eventually(t, 20*time.Second, func() error { // what an event leads to takes a moment
			answer, bad := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
			if bad != nil || !json.Valid(answer) || bytes.Contains(answer, []byte(`"code":`)) && !bytes.Contains(answer, []byte(`"openapi"`)) {
				return fmt.Errorf("%s: %w: %s", line, bad, answer)
			}
			return nil
		})
	}
	commands := r.starting("go run ./")
	if len(commands) != 2 {
		t.Fatalf("it printed %q", commands)
	}
	letters := strings.Replace(commands[0], "go run ./cmd/tidings", tool(t), 1)
	testenv.Eventually(t, 20*time.Second, func() error {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", letters).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("customer.updated")) {
			return fmt.Errorf("%s: %w: %s", letters, err, out)
		}
		return nil
	})
	second := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(commands[1], "go run ./examples/shop", "exec "+os.Args[0], 1))
	second.Env = testenv.AsChild("shop")
	joined := begin(t, second)
	if got := strings.Join(joined.lines, "\n"); !strings.Contains(got, "The shop (reader) is at") || len(joined.starting("curl ")) != 4 {
		t.Errorf("the second reader printed %s", got)
	}
	joined.interrupt(t)
	r.interrupt(t)
}

func TestTheReadmeHasTheSameLines(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	o := options{config: config{Roles: []string{customers, products, readers}, Store: "sqlite:FOLDER/" + placeholder + ".db"}, data: "FOLDER", embedded: true}
	for line := range strings.Lines(welcome(&o, "http://127.0.0.1:8080")) {
		line = strings.ReplaceAll(line, "'sqlite:FOLDER/reader.db'", "sqlite:FOLDER/reader.db")
		line = strings.ReplaceAll(line, "'FOLDER'", "FOLDER")
		if (strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "go run")) && !strings.Contains(string(readme), line) {
			t.Errorf("README.md lacks %s", line)
		}
	}
}

func TestWrongCallsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--load", "-1"}, {"-o", "xml"}, {"load"}, {"--brocker", "nats://localhost"}, {"--role", "cashier"}, {"--role", "reader", "--load", "5"}, {"--relay=false", "--load", "5"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	for store, want := range map[string]string{
		"postgres://localhost/shop":                 "postgres://localhost/shop?schema={service}&search_path={service}",
		"postgres://localhost/shop?sslmode=disable": "postgres://localhost/shop?sslmode=disable&schema={service}&search_path={service}",
		"postgres://localhost/{service}":            "postgres://localhost/{service}",
		"sqlite:{service}.db":                       "sqlite:{service}.db",
		"sqlite:shop.db":                            "",
		"memory:":                                   "",
	} {
		if got, err := storeOfEach(store); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v", store, got, err)
		}
	}
}
