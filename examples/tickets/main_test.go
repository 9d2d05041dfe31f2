package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestMain(m *testing.M) { trial.Main(m, main) }

// launch starts the program, which says on standard error what to try.
func launch(t *testing.T, args ...string) *trial.Process {
	t.Helper()
	sh := append([]string{"-c", `exec "$0" "$@" 2>&1`, os.Args[0], "--addr", "127.0.0.1:0"}, args...)
	return trial.Start(t, trial.AsProgram(exec.CommandContext(t.Context(), "sh", sh...)))
}

// The program prints lines to try; each of them works as it is printed, one after the other, embedded and on Redis. README.md has the same.
func TestTheLinesThatItPrintsWork(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]func(t *testing.T) []string{
		"embedded": func(*testing.T) []string { return nil },
		"redis": func(t *testing.T) []string {
			t.Helper()
			return []string{"--broker", trial.Redis(t), "--store", trial.SQLite(t, "tickets.db")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, args(t)...)
			lines := p.Lines("curl ")
			if len(lines) != 5 {
				t.Fatalf("it printed %d lines to try", len(lines))
			}
			answers := trial.Curl(t, lines)
			for i, want := range []string{`"customer":"Ada"`, `"status":`, `refunded`, `"made":`, `"openapi":"3.1.0"`} {
				if !strings.Contains(answers[i], want) {
					t.Errorf("%s: no %s in %s", lines[i], want, answers[i])
				}
			}
			trial.Readme(t, strings.ReplaceAll(strings.Join(lines, "\n")+"\n", p.URL(), "http://127.0.0.1:8080"))
			p.Interrupt()
		})
	}
}

// Who asks for JSON gets no advice.
func TestNothingToTryWithJSON(t *testing.T) {
	t.Parallel()
	p := launch(t, "-o", "json")
	if lines := p.Lines("curl "); len(lines) > 0 {
		t.Errorf("it printed %q", lines)
	}
	p.Interrupt()
}

func TestLoadEmbedded(t *testing.T) {
	t.Parallel()
	testLoad(t, "--data", filepath.Join(t.TempDir(), "data"))
}

func TestLoadOnRedis(t *testing.T) {
	t.Parallel()
	testLoad(t, "--broker", trial.Redis(t), "--data", filepath.Join(t.TempDir(), "data"))
}

func TestLoadOnRedisAndPostgreSQL(t *testing.T) {
	t.Parallel()
	testLoad(t, "--broker", trial.Redis(t), "--store", trial.Postgres(t, "tickets"))
}

// testLoad makes bookings, and a second run makes what is missing.
func testLoad(t *testing.T, args ...string) {
	t.Helper()
	bookings := int64(100)
	if testenv.Soak() {
		bookings = 20_000
	}
	for range 2 {
		checkSummary(t, load(t, bookings, args...), bookings)
		bookings += 50
	}
}

// checkSummary wants so many bookings, with all that follows from them, once each.
func checkSummary(t *testing.T, s platform.Summary, bookings int64) {
	t.Helper()
	events := 4*bookings + bookings/10
	s.SSEUpdates, s.Seconds = 0, 0
	want := platform.Summary{Bookings: bookings, PublicEvents: events, InternalEvents: events, LakeRows: events, ReadModelRows: bookings}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
}
