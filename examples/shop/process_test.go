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
	"sync/atomic"
	"testing"

	"github.com/tidings-go/tidings/internal/testenv"
)

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

// launch starts a process that says nothing when it has started. It is killed at the end if the test has not ended it.
func launch(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{Cmd: cmd, log: &safeBuffer{}}
	cmd.Stderr = r.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("%v said:\n%s", cmd.Args[1:], r.log)
		}
	})
	return r
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

// toolDir is where the command tidings was built, for TestMain to remove.
var toolDir atomic.Pointer[string]

// build builds the command tidings, once: what relays is the real program.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "shop-test-")
	if err != nil {
		return "", err
	}
	toolDir.Store(&dir)
	path := filepath.Join(dir, "tidings")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/tidings").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cmd/tidings: %w: %s", err, out)
	}
	return path, nil
})
