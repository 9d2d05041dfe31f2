package main

import (
	"os"
	"strings"
	"testing"
)

// The README shows this program: its first block of Go must be a part of it, word for word.
func TestReadmeShowsThisProgram(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	block, _, closed := strings.Cut(rest, "```")
	if !ok || !closed || !strings.Contains(string(program), block) {
		t.Errorf("the README's example is not in main.go:\n%s", block)
	}
}
