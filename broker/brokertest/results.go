package brokertest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tidings-go/tidings/internal/testenv"
)

// results is what a run of the suite found: a column of the table in docs/brokers.md.
type results struct {
	f *Fixture

	mu     sync.Mutex      // guards what follows
	passed map[string]bool // by the scenario's name; false: it failed
}

func newResults(f *Fixture) *results { return &results{f: f, passed: map[string]bool{}} }

func (r *results) note(s scenario, passed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed[s.name] = passed
}

// demandReasons fails a run that has a column if something is left out without a word, or a reason is given for what is not left out.
func (r *results) demandReasons(t *testing.T) {
	t.Helper()
	if r.f.Column == "" {
		return
	}
	for _, n := range []Need{NeedLimit, NeedPause, NeedRestart, NeedProxied, NeedStranger, NeedProcesses} {
		if given, excused := r.f.has(n), r.f.Missing[n] != ""; given == excused {
			t.Fatalf("column %s: the fixture must have %s or else a reason in Missing[%q], and not both", r.f.Column, n, n)
		}
	}
}

// Words of the files in results, after the name of a scenario and a tab.
const (
	yes       = "yes"
	inProcess = "in one process: "
	no        = "no: "
)

// String is what the column's file is to hold.
func (r *results) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by the conformance test of %s with TIDINGS_TEST_UPDATE=true, and compared without.\n", r.f.Column)
	for _, theme := range all() {
		for _, s := range theme.scenarios {
			fmt.Fprintf(&b, "%s\t%s\n", s.name, r.word(s))
		}
	}
	return b.String()
}

func (r *results) word(s scenario) string {
	if n, lacks := r.f.lacks(s.needs); lacks {
		return no + r.f.Missing[n]
	}
	if s.replicas && !r.f.has(NeedProcesses) {
		return inProcess + r.f.Missing[NeedProcesses]
	}
	return yes
}

// isWhole reports whether every scenario that is possible was run and passed: a run that was told to leave some out says nothing.
func (r *results) isWhole() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, theme := range all() {
		for _, s := range theme.scenarios {
			if _, lacks := r.f.lacks(s.needs); !lacks && !r.passed[s.name] {
				return false
			}
		}
	}
	return true
}

// compare compares the column with its file, or writes the file. Adapters are folders beside this one.
func (r *results) compare(t *testing.T) {
	t.Helper()
	if r.f.Column == "" || !r.isWhole() {
		return
	}
	compareFile(t, filepath.Join("..", "brokertest", "results", r.f.Column+".txt"), r.String())
}

// compareFile fails the test if a file does not hold want, or writes the file when [testenv.Update] says so.
func compareFile(t *testing.T, path, want string) {
	t.Helper()
	if testenv.Update() {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil { //nolint:gosec // The adapter says which file.
			t.Error(err)
		}
		return
	}
	got, err := os.ReadFile(path) //nolint:gosec // The adapter says which file.
	if err != nil {
		t.Error(err)
		return
	}
	if string(got) != want {
		t.Errorf("%s is out of date: run this test with TIDINGS_TEST_UPDATE=true, and then that of broker/brokertest. %s", path, firstDifference(string(got), want))
	}
}

func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(a), len(b)) {
		var line, other string
		if i < len(a) {
			line = a[i]
		}
		if i < len(b) {
			other = b[i]
		}
		if line != other {
			return fmt.Sprintf("Line %d is %q and should be %q.", i+1, line, cmp.Or(other, "missing"))
		}
	}
	return ""
}
