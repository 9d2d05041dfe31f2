package brokertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// columns are those of the table, in its order. One whose file is not there is left out.
var columns = []struct{ title, file string }{
	{"memory", "memory"},
	{"embedded NATS", "embedded-nats"},
	{"NATS", "nats"},
	{"Kafka", "kafka"},
	{"Redis", "redis"},
}

const (
	tableBegins = "<!-- The tables are made from broker/brokertest/results: TIDINGS_TEST_UPDATE=true go test ./broker/brokertest -->\n"
	tableEnds   = "<!-- end of tables -->\n"
)

// TestDocumentation compares the tables in docs/brokers.md with what the adapters' conformance tests have found. The text round them is written by hand.
func TestDocumentation(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "brokers.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatalf("%s must have the lines %q and %q", path, tableBegins, tableEnds)
	}
	compareFile(t, path, before+tableBegins+readTable(t).String()+tableEnds+after)
}

// table is the columns that are there.
type table struct {
	titles []string
	words  []map[string]string // by column: what its file says of a scenario
	notes  []string
}

func readTable(t *testing.T) *table {
	t.Helper()
	var read table
	for _, c := range columns {
		text, err := os.ReadFile(filepath.Join("results", c.file+".txt"))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		words := make(map[string]string)
		for line := range strings.Lines(string(text)) {
			if name, word, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
				words[name] = word
			}
		}
		for _, theme := range all() {
			for _, s := range theme.scenarios {
				if words[s.name] == "" {
					t.Errorf("results/%s.txt says nothing of %q: run its conformance test with TIDINGS_TEST_UPDATE=true", c.file, s.name)
				}
			}
		}
		read.titles = append(read.titles, c.title)
		read.words = append(read.words, words)
	}
	return &read
}

func (a *table) String() string {
	var b strings.Builder
	for _, theme := range all() {
		fmt.Fprintf(&b, "\n### %s\n\n| | %s |\n|---|%s\n", theme.title, strings.Join(a.titles, " | "), strings.Repeat(":-:|", len(a.titles)))
		for _, s := range theme.scenarios {
			fmt.Fprintf(&b, "| %s |", s.name)
			for _, words := range a.words {
				fmt.Fprintf(&b, " %s |", a.cell(words[s.name]))
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
	for i, note := range a.notes {
		fmt.Fprintf(&b, "%d. %s.\n", i+1, note)
	}
	b.WriteString("\n")
	return b.String()
}

// cell is what stands in the table for a word of a file: a mark, and the number of a note.
func (a *table) cell(word string) string {
	if reason, ok := strings.CutPrefix(word, inProcess); ok {
		return "✓ " + a.note("With replicas in one process, whose death and standstill are imitated: "+reason)
	}
	if reason, ok := strings.CutPrefix(word, no); ok {
		return "– " + a.note("Does not apply: "+reason)
	}
	return "✓"
}

func (a *table) note(text string) string {
	for i, known := range a.notes {
		if known == text {
			return fmt.Sprintf("(%d)", i+1)
		}
	}
	a.notes = append(a.notes, text)
	return fmt.Sprintf("(%d)", len(a.notes))
}

func TestColumns(t *testing.T) {
	f := Fixture{Column: "x", Missing: map[Need]string{NeedPause: "it is never deaf", NeedProcesses: "it has one", NeedHeap: "it is shared"}}
	r := newResults(&f)
	for _, c := range []struct {
		s    scenario
		want string
	}{
		{scenario{}, yes},
		{scenario{needs: []Need{NeedGoroutines}}, yes},
		{scenario{needs: []Need{NeedGoroutines, NeedPause}}, "no: it is never deaf"},
		{scenario{needs: []Need{NeedHeap}}, "no: it is shared"},
		{scenario{replicas: true}, "in one process: it has one"},
	} {
		if got := r.word(c.s); got != c.want {
			t.Errorf("%+v gives %q, not %q", c.s, got, c.want)
		}
	}
	if r.isWhole() {
		t.Error("nothing was run, and the column is complete")
	}
	for _, theme := range all() {
		for _, s := range theme.scenarios {
			r.note(s, true)
		}
	}
	if !r.isWhole() {
		t.Error("everything has passed, and the column is not complete")
	}
}

func TestEveryScenarioHasOneName(t *testing.T) {
	names := make(map[string]bool)
	for _, theme := range all() {
		for _, s := range theme.scenarios {
			if names[s.name] || strings.ContainsAny(s.name, "\t\n|") {
				t.Errorf("%q is the name of two scenarios, or can't be in a table", s.name)
			}
			names[s.name] = true
		}
	}
}
