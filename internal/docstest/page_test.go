package docstest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository.
const root = "../.."

// page is a file of Markdown.
type page struct {
	// name is its path from the root, with slashes.
	name  string
	lines []string
}

// block is a fenced block of a page.
type block struct {
	// line is where its first fence is, from 1.
	line int
	// lang is what stands after the fence, directive what the comment right before it says.
	lang, directive string
	text            string
}

// pages reads all pages whose names match one of the patterns.
func pages(t *testing.T, patterns ...string) []*page {
	t.Helper()
	var all []*page
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no page is called %s (%v)", pattern, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, newPage(filepath.ToSlash(name), string(content)))
		}
	}
	return all
}

func newPage(name, content string) *page {
	return &page{name: name, lines: strings.Split(content, "\n")}
}

// blocks are the page's fenced blocks.
func (p *page) blocks() ([]block, error) {
	var all []block
	for i := 0; i < len(p.lines); i++ {
		lang, ok := strings.CutPrefix(p.lines[i], "```")
		if !ok {
			continue
		}
		b := block{line: i + 1, lang: lang, directive: p.directive(i - 1)}
		for i++; i < len(p.lines) && p.lines[i] != "```"; i++ {
			b.text += p.lines[i] + "\n"
		}
		if i == len(p.lines) {
			return nil, fmt.Errorf("%s:%d: the block has no end", p.name, b.line)
		}
		all = append(all, b)
	}
	return all, nil
}

// directive is what the comment in a line says; empty when the line is none.
func (p *page) directive(line int) string {
	if line < 0 {
		return ""
	}
	inner, begins := strings.CutPrefix(p.lines[line], "<!-- ")
	inner, ends := strings.CutSuffix(inner, " -->")
	if !begins || !ends {
		return ""
	}
	return inner
}

// prose is the page without its blocks, line by line, so that line numbers stay.
func (p *page) prose() []string {
	out := make([]string, len(p.lines))
	inside := false
	for i, line := range p.lines {
		if strings.HasPrefix(line, "```") {
			inside = !inside
			continue
		}
		if !inside {
			out[i] = line
		}
	}
	return out
}

// replace puts another text into a block.
func (p *page) replace(b block, text string) {
	n := strings.Count(b.text, "\n")
	rest := append([]string{}, p.lines[b.line+n:]...)
	p.lines = append(append(p.lines[:b.line], strings.Split(strings.TrimSuffix(text, "\n"), "\n")...), rest...)
}

func (p *page) write() error {
	return os.WriteFile(filepath.Join(root, filepath.FromSlash(p.name)), []byte(strings.Join(p.lines, "\n")), 0o600)
}
