package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/internal/testenv"
)

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
)

// TestMain makes this binary the command when it is called with that argument, so that the tests can start and kill it.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "tidings":
		os.Args = os.Args[1:]
		main()
	case len(os.Args) > 2 && os.Args[1] == serveArgument:
		serveNATS(os.Args[2])
	}
	os.Exit(m.Run())
}

// result is what a call of the command left.
type result struct {
	code        int
	out, status string
}

// tidings calls the command and waits for it.
func tidings(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd, out, status := command(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{code: cmd.ProcessState.ExitCode(), out: out.String(), status: status.String()}
}

func command(ctx context.Context, args ...string) (cmd *exec.Cmd, out, status *bytes.Buffer) {
	cmd = exec.CommandContext(ctx, os.Args[0], append([]string{"tidings"}, args...)...)
	out, status = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, status
	return cmd, out, status
}

func (r result) summary(t *testing.T) platform.Summary {
	t.Helper()
	var s platform.Summary
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatalf("the output is not a summary: %v\n%s\n%s", err, r.out, r.status)
	}
	return s
}

func TestDemoCountsExactly(t *testing.T) {
	t.Parallel()
	r := tidings(t, "", "demo", "--bookings", "300", "-o", "json")
	s := r.summary(t)
	if r.code != 0 || r.status != "" || s.Bookings != 300 || s.PublicEvents != 1230 || s.LakeRows != 1230 || s.InternalEvents != 1230 || s.ReadModelRows != 300 {
		t.Errorf("exit %d, summary %+v\n%s", r.code, s, r.status)
	}
	if s.SSEUpdates == 0 || s.Seconds == 0 {
		t.Errorf("updates and seconds are not told: %+v", s)
	}
}

func TestDemoPrintsTextAndGoesOnFromItsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if r := tidings(t, "", "demo", "--bookings", "50", "--data", dir); r.code != 0 || !strings.Contains(r.out, "bookings          50") {
		t.Errorf("exit %d:\n%s%s", r.code, r.out, r.status)
	}
	if s := tidings(t, "", "demo", "--bookings", "80", "--data", dir, "-o", "json").summary(t); s.Bookings != 80 || s.PublicEvents != 328 || s.Lost != 0 {
		t.Errorf("the second run: %+v", s)
	}
}

// sabotages are what can go wrong, and the field that must show it.
var sabotages = map[string]func(platform.Summary) int64{
	"lose":  func(s platform.Summary) int64 { return s.Lost },
	"dup":   func(s platform.Summary) int64 { return s.DuplicateEffects },
	"order": func(s platform.Summary) int64 { return s.OutOfOrder },
	"leak":  func(s platform.Summary) int64 { return s.InternalInLake },
}

// Each sabotage must turn its own field, and the exit code, or the summary would be worth nothing.
func TestTheSummaryShowsSabotage(t *testing.T) {
	t.Parallel()
	for name, field := range sabotages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := tidings(t, "", "demo", "--bookings", "200", "-o", "json", "--sabotage", name)
			if s := r.summary(t); r.code != exitFailure || field(s) == 0 {
				t.Errorf("exit %d, summary %+v", r.code, s)
			}
		})
	}
}

func TestDemoReadsBookingsAsJSONLines(t *testing.T) {
	t.Parallel()
	const good = `{"show":"hamlet","customer":"Ada","seats":2}` + "\n"
	if r := tidings(t, good+"\n"+good, "demo", "--input", "-", "-o", "json"); r.code != 0 || r.summary(t).Bookings != 2 {
		t.Errorf("exit %d, %s%s", r.code, r.out, r.status)
	}
	file := filepath.Join(t.TempDir(), "bookings.jsonl")
	bad := good + "nonsense\n" + `{"show":"hamlet","customer":"","seats":2}` + "\n" + `{"show":"hamlet","customer":"Bo","seats":2,"vip":true}` + "\n" +
		strings.TrimSpace(good) + "}\n" + `{"show":"` + strings.Repeat("x", 100_000) + `"}` + "\n" + good
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	r := tidings(t, "", "demo", "--input", file, "-o", "json")
	if s := r.summary(t); r.code != exitFailure || s.Bookings != 2 || s.Lost != 0 {
		t.Errorf("exit %d, summary %+v", r.code, s)
	}
	for _, want := range []string{"line 2:", "line 3:", "customer", "line 4:", "vip", "line 5:", "something follows", "line 6:", "longer than"} {
		if !strings.Contains(r.status, want) {
			t.Errorf("no %q in what it said:\n%s", want, r.status)
		}
	}
}

func TestWrongCallsExitWith2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"demo", "--bookings", "-1"},
		{"demo", "--bookings", "1", "--input", "-"},
		{"demo", "--bookings", "0"},
		{"demo", "--input", ""},
		{"demo", "-o", "xml"},
		{"demo", "--broker", "memory:", "--store", "sqlite:x", "--data", "x"},
		{"demo", "--sabotage", "everything"},
		{"demo", "--nonsense"},
		{"demo", "nonsense"},
		{"nonsense"},
		{"status"},
		{"topics", "plan"},
		{"doctor", "--nonsense"},
	} {
		if r := tidings(t, "", args...); r.code != exitUsage || r.status == "" {
			t.Errorf("tidings %s: exit %d, %q", strings.Join(args, " "), r.code, r.status)
		}
	}
	if r := tidings(t, "", "deadleters"); !strings.Contains(r.status, "did you mean deadletters?") {
		t.Errorf("misspelt: %q", r.status)
	}
	if r := tidings(t, "", "demo", "--broker", "http://localhost"); r.code != exitFailure || !strings.Contains(r.status, "known are nats, tls, kafka") {
		t.Errorf("exit %d, %q", r.code, r.status)
	}
	if r := tidings(t, "", "demo", "--input", "does-not-exist.jsonl"); r.code != exitFailure || !strings.Contains(r.status, "does-not-exist.jsonl") {
		t.Errorf("exit %d, %q", r.code, r.status)
	}
}

// Without a bound the demo serves its page until it is interrupted, drains, and exits with 0.
func TestDemoRunsUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	status := filepath.Join(dir, "status")
	f, err := os.Create(status)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd, _, _ := command(t.Context(), "demo", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	cmd.Stderr = f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var url string
	testenv.Eventually(t, 30*time.Second, func() error {
		said, err := os.ReadFile(status)
		url = regexp.MustCompile(`http://\S+`).FindString(string(said))
		if err == nil && url == "" {
			return os.ErrNotExist
		}
		return err
	})
	testenv.Eventually(t, 30*time.Second, func() error { return get(t, url+"/healthz", http200) })
	testenv.Eventually(t, 30*time.Second, func() error { return get(t, url+"/ops/bookings", bookings) })
	var s standing
	if r := tidings(t, "", "status", "--data", filepath.Join(dir, "data"), "-o", "json"); r.code != 0 || json.Unmarshal([]byte(r.out), &s) != nil || len(s.Topics) != 7 {
		t.Errorf("status: exit %d, %s%s", r.code, r.out, r.status)
	}
	if r := tidings(t, "", "status", "--data", filepath.Join(dir, "data")); r.code != 0 || !strings.Contains(r.out, "events.BookingMade") {
		t.Errorf("status: exit %d, %s%s", r.code, r.out, r.status)
	}
	if r := tidings(t, "", "status", "--data", t.TempDir()); r.code != exitFailure || !strings.Contains(r.status, "no process runs") {
		t.Errorf("status of an empty folder: exit %d, %s", r.code, r.status)
	}
	if r := tidings(t, "", "demo", "--bookings", "1", "--data", filepath.Join(dir, "data")); r.code != exitFailure || !strings.Contains(r.status, "another process") {
		t.Errorf("a second process in the folder: exit %d, %s", r.code, r.status)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
}

// A run that waits for input can be ended all the same.
func TestDemoCanBeInterruptedWhileItReads(t *testing.T) {
	t.Parallel()
	cmd, _, status := command(t.Context(), "demo", "--input", "-")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	interrupt := time.AfterFunc(3*time.Second, func() { _ = cmd.Process.Signal(syscall.SIGINT) })
	defer interrupt.Stop()
	if err := cmd.Wait(); err == nil || !strings.Contains(status.String(), "interrupted") {
		t.Errorf("it ended with %v: %s", err, status)
	}
}
