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
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// TestMain makes this binary the program when a test says so, so that tests can start and kill it.
func TestMain(m *testing.M) {
	if testenv.Child() == "cashiers" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = testenv.AsChild("cashiers")
	return cmd
}

// lines runs the program, and returns the lines that it says to try, the file with its log, and what ends it.
func lines(t *testing.T, want int, args ...string) (curls []string, log string, end func()) {
	t.Helper()
	cmd := program(t.Context(), append(args, "--addr", "127.0.0.1:0")...)
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	cmd.Stderr = file
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for scanner.Scan() && !strings.HasPrefix(scanner.Text(), "Press Ctrl-C") {
		if strings.HasPrefix(scanner.Text(), "curl ") {
			curls = append(curls, scanner.Text())
		}
	}
	if len(curls) != want {
		t.Errorf("it printed %d lines to try, not %d", len(curls), want)
	}
	return curls, file.Name(), func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		for scanner.Scan() { // Wait wants the pipe read
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
	}
}

// try runs lines as they are printed, one after the other, and returns the answers.
func try(t *testing.T, curls []string) []string {
	t.Helper()
	answers := make([]string, len(curls))
	for i, line := range curls {
		testenv.Eventually(t, 20*time.Second, func() error { // what an event leads to takes a moment
			answer, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
			if answers[i] = strings.TrimSpace(string(answer)); err != nil || !json.Valid(answer) || answers[i] == "[]" ||
				bytes.Contains(answer, []byte(`"code":`)) && !bytes.Contains(answer, []byte(`"openapi"`)) {
				return fmt.Errorf("%s: %w: %s", line, err, answer)
			}
			return nil
		})
	}
	return answers
}

func TestTheLinesThatItPrintsWork(t *testing.T) {
	t.Parallel()
	curls, log, end := lines(t, 12)
	answers := try(t, curls)
	if answers[3] != answers[4] || !strings.Contains(answers[3], `"invoice_id":"acme-1"`) {
		t.Errorf("the same key got\n%s\nand\n%s", answers[3], answers[4])
	}
	awaitLine(t, log, "inventory not available: 1 of gold for invoice acme-2")
	end()
}

// awaitLine waits until a log has this text.
func awaitLine(t *testing.T, log, text string) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() error {
		data, err := os.ReadFile(log)
		if err == nil && !strings.Contains(string(data), text) {
			err = fmt.Errorf("no %q in\n%s", text, data)
		}
		return err
	})
}

// The same lines work with two processes on what the system is made for.
func TestTheLinesOfTwoProcessesWork(t *testing.T) {
	t.Parallel()
	p := realPlace(t)
	args := []string{"--broker", p.broker, "--store", p.store, "--env", newEnv(), "--role"}
	commands, _, endAPI := lines(t, 10, append(args, "api")...)
	questions, log, endNotifications := lines(t, 3, append(args, "notifications")...)
	try(t, append(commands, questions...))
	awaitLine(t, log, "a mail is sent")
	endAPI()
	endNotifications()
}

func TestTheReadmeHasTheSameLines(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(welcome(all, "http://127.0.0.1:8080")) {
		if strings.HasPrefix(line, "curl ") && !strings.Contains(string(readme), line) {
			t.Errorf("README.md lacks %s", line)
		}
	}
}

func TestWrongCallsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--load", "-1"},
		{"-o", "xml"},
		{"load"},
		{"--brocker", "nats://localhost"},
		{"--role", "boss"},
		{"--role", "api"},
		{"--mail-attempts", "0"},
		{"--role", "notifications", "--broker", "nats://localhost", "--store", "sqlite:x", "--load", "5"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	if err := run(t.Context(), options{store: "memory:"}, nil); err == nil || !strings.Contains(err.Error(), "needs one, such as sqlite") {
		t.Errorf("a store without SQL: %v", err)
	}
}
