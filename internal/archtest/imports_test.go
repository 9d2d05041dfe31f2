package archtest_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestImportsFollowTheTable(t *testing.T) {
	complaints, err := check(os.DirFS("../.."), picture)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range complaints {
		t.Error(c)
	}
}

func TestNoRowBreaksTheRules(t *testing.T) {
	rows, err := parse(picture)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		for _, c := range r.broken() {
			t.Error(c)
		}
	}
}

// The control: what is forbidden is found.
func TestForbiddenImportsAreReported(t *testing.T) {
	const table = `
broker          <-
broker/nats     <- broker github.com/nats-io/nats.go   tests: example.com/kit
internal/engine <- broker
gone            <- broker
`
	tree := fstest.MapFS{
		"go.mod":                       {},
		"tidings.go":                   source("tidings", module+"/broker"),
		"broker/broker.go":             source("broker", "context", "github.com/google/uuid"),
		"broker/broker_test.go":        source("broker_test", module+"/broker", "pgregory.net/rapid", module+"/broker/memory"),
		"broker/nats/nats.go":          source("nats", module+"/broker", "github.com/nats-io/nats.go/jetstream", "example.com/kit"),
		"broker/nats/nats_test.go":     source("nats_test", "example.com/kit/deep", "example.com/kitten", module+"/broker/nats"),
		"internal/engine/engine.go":    source("engine", module, "C"),
		"bench/go.mod":                 {},
		"bench/bench.go":               source("bench", "example.com/peer"),
		"broker/testdata/old/old.go":   source("old", "example.com/old"),
		"internal/deps/deps.go":        source("deps", "example.com/dep"),
		"broker/nats/readme.md":        {Data: []byte("no Go file")},
		".services/src/thing/thing.go": source("thing", "example.com/thing"),
	}
	want := []string{
		"broker imports github.com/google/uuid (broker/broker.go)",
		"broker/nats imports example.com/kit (broker/nats/nats.go)",
		"broker/nats imports example.com/kitten in a test (broker/nats/nats_test.go)",
		"internal/engine imports C (internal/engine/engine.go)",
		"internal/engine imports tidings (internal/engine/engine.go)",
		"tidings has no row: add one to internal/archtest/table_test.go",
	}
	got, err := check(tree, table)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestRowsThatBreakTheRulesAreReported(t *testing.T) {
	for _, line := range []string{
		"broker/nats <- broker tidings",
		"store/postgres <- tidings",
		"internal/consume <- tidings",
		"broker/kafka <- store",
		"broker/kafka <- broker/nats",
		"store/sqlite <- store/...",
		"cli <- examples/tickets",
		"tidings <- internal/archtest",
	} {
		rows, err := parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows[0].broken()) != 1 {
			t.Errorf("%s: got %q, want one complaint", line, rows[0].broken())
		}
	}
}

func TestMalformedRowsAreRefused(t *testing.T) {
	for _, table := range []string{"broker", "a b <- c", "<- a", "broker <-\nbroker <- store", "x <- a tests: b tests: c"} {
		if _, err := parse(table); err == nil {
			t.Errorf("%q was accepted", table)
		}
	}
}

// source is a Go file that imports paths.
func source(pkg string, paths ...string) *fstest.MapFile {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n", pkg)
	for _, p := range paths {
		fmt.Fprintf(&b, "import _ %q\n", p)
	}
	return &fstest.MapFile{Data: []byte(b.String())}
}
