package tidingstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidings-go/tidings"
)

// Topology compares the app's description (modules, events, subscriptions, requests, topics) with the file testdata/topology-{service}.json, and fails where they differ, so that a changed
// topic or a lost subscription is seen in review. Where there is no such file, it is written and the test fails once: look at it, and commit it. To accept
// a change, remove the file and run the test again. It needs no bubble, and the app need not run.
func Topology(tb testing.TB, app *tidings.App) {
	tb.Helper()
	d, err := app.Describe()
	if err != nil {
		tb.Fatalf("tidingstest: describe the app: %v", err)
	}
	got, err := json.MarshalIndent(d, "", "\t")
	if err != nil {
		tb.Fatalf("tidingstest: describe the app: %v", err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", "topology-"+d.Service+".json")
	want, err := os.ReadFile(path) //nolint:gosec // the name is the test's own
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err = errors.Join(os.MkdirAll("testdata", 0o750), os.WriteFile(path, got, 0o600)); err != nil {
			tb.Fatalf("tidingstest: write the topology: %v", err)
		}
		tb.Errorf("tidingstest: there was no %s; it is written, look at it and commit it", path)
	case err != nil:
		tb.Fatalf("tidingstest: read the topology: %v", err)
	case !bytes.Equal(got, bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))):
		tb.Errorf("tidingstest: the app is not as in %s; if that is right, remove the file and run the test again:\n%s", path, difference(string(want), string(got)))
	}
}

// difference shows the lines that one text has and the other has not.
func difference(want, got string) string {
	count := map[string]int{}
	for line := range strings.Lines(got) {
		count[line]++
	}
	var out strings.Builder
	for line := range strings.Lines(want) {
		if count[line]--; count[line] < 0 {
			out.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(want) {
		count[line] = max(count[line], 0)
	}
	for line := range strings.Lines(got) {
		if count[line] > 0 {
			count[line]--
			out.WriteString("+ " + line)
		}
	}
	return out.String()
}
