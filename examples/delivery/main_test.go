package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// TestMain makes this binary the program when a test says so, so that tests can start and kill it.
func TestMain(m *testing.M) {
	if testenv.Child() == "delivery" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = testenv.AsChild("delivery")
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

// The program prints lines to try; each of them works as it is printed, one after the other.
func TestTheLinesThatItPrintsWork(t *testing.T) {
	t.Parallel()
	cmd := program(t.Context(), "--addr", "127.0.0.1:0", "--audit-wait", "10ms")
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	scanner := bufio.NewScanner(out)
	for scanner.Scan() && !strings.HasPrefix(scanner.Text(), "Press Ctrl-C") {
		if strings.HasPrefix(scanner.Text(), "curl ") {
			lines = append(lines, scanner.Text())
		}
	}
	if len(lines) != 8 {
		t.Errorf("it printed %d lines to try", len(lines))
	}
	for _, line := range lines {
		testenv.Eventually(t, 20*time.Second, func() error { // what an event leads to takes a moment
			answer, bad := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
			if bad != nil || !json.Valid(answer) || bytes.Contains(answer, []byte(`"code":`)) && !bytes.Contains(answer, []byte(`"openapi"`)) {
				return fmt.Errorf("%s: %w: %s", line, bad, answer)
			}
			return nil
		})
	}
	if err = cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for scanner.Scan() { // Wait wants the pipe read
	}
	if err = cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if !strings.Contains(log.String(), "stream=dev.order.internal.orders.v1") || !strings.Contains(log.String(), "sequence=1") {
		t.Errorf("it did not log where the broker has stored the event:\n%s", &log)
	}
}

func TestTheReadmeHasTheSameLines(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(fmt.Sprintf(welcome, "http://127.0.0.1:8080")) {
		if strings.HasPrefix(line, "curl ") && !strings.Contains(string(readme), line) {
			t.Errorf("README.md lacks %s", line)
		}
	}
}

func TestWrongCallsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"--load", "-1"}, {"-o", "xml"}, {"load"}, {"--brocker", "nats://localhost"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	if err := run(t.Context(), options{store: "memory:"}, nil); err == nil || !strings.Contains(err.Error(), "needs one, such as sqlite") {
		t.Errorf("a store without SQL: %v", err)
	}
}
