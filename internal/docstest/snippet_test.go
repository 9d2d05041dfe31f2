package docstest_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidings-go/tidings/internal/testenv"
)

// Go in a page is a part of a file that is compiled and run: the comment before the block says which.
func TestGoIsFromFilesThatAreCompiled(t *testing.T) {
	t.Parallel()
	for _, p := range pages(t, "README.md", "docs/*.md") {
		if testenv.Update() {
			if err := p.update(); err != nil {
				t.Error(err)
			}
		}
		blocks, err := p.blocks()
		if err != nil {
			t.Error(err)
		}
		for _, b := range blocks {
			if b.lang != "go" {
				continue
			}
			want, err := b.snippet()
			switch {
			case err != nil:
				t.Errorf("%s:%d: %v", p.name, b.line, err)
			case b.text != want:
				t.Errorf("%s:%d: the file has\n%s\nand the page\n%s\nTIDINGS_TEST_UPDATE=true writes the page anew", p.name, b.line, want, b.text)
			}
		}
	}
}

// update copies the files' Go into the page. It begins at the end, so that line numbers hold.
func (p *page) update() error {
	blocks, err := p.blocks()
	if err != nil {
		return err
	}
	changed := false
	for _, b := range slices.Backward(blocks) {
		if b.lang != "go" {
			continue
		}
		want, err := b.snippet()
		if err != nil {
			return fmt.Errorf("%s:%d: %w", p.name, b.line, err)
		}
		if b.text != want {
			p.replace(b, want)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return p.write()
}

// snippet is what the block should show: "snippet FILE" is a whole file, "snippet FILE NAME…" the declarations of these names with their
// comments, and "NAME.body" what is between the braces of a function. "> NAME" at the end is for the shell: see [reader.save].
func (b block) snippet() (string, error) {
	spec, ok := strings.CutPrefix(b.directive, "snippet ")
	if !ok {
		return "", errors.New("Go needs a line before it that says where it is from: <!-- snippet FILE NAME… -->")
	}
	spec, _, _ = strings.Cut(spec, " > ")
	fields := strings.Fields(spec)
	content, err := os.ReadFile(filepath.Join(root, fields[0]))
	if err != nil || len(fields) == 1 {
		return string(content), err
	}
	return excerpt(string(content), fields[1:])
}

// excerpt is the declarations of some names in a file of Go.
func excerpt(source string, names []string) (string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	text := func(from, to token.Pos) string { return source[set.Position(from).Offset:set.Position(to).Offset] }
	parts := make([]string, 0, len(names))
	for _, full := range names {
		name, inner := strings.CutSuffix(full, ".body")
		i := slices.IndexFunc(file.Decls, func(d ast.Decl) bool { return declares(d, name) })
		if i < 0 {
			return "", fmt.Errorf("nothing is called %s in the file", name)
		}
		switch d := file.Decls[i].(type) {
		case *ast.FuncDecl:
			if inner {
				parts = append(parts, dedent(text(d.Body.Lbrace+1, d.Body.Rbrace)))
				continue
			}
			parts = append(parts, text(start(d.Doc, d), d.End()))
		case *ast.GenDecl:
			parts = append(parts, text(start(d.Doc, d), d.End()))
		}
	}
	return strings.Join(parts, "\n\n") + "\n", nil
}

func start(doc *ast.CommentGroup, d ast.Decl) token.Pos {
	if doc != nil {
		return doc.Pos()
	}
	return d.Pos()
}

func declares(d ast.Decl, name string) bool {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Name.Name == name
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.Name == name {
					return true
				}
			case *ast.ValueSpec:
				if slices.ContainsFunc(s.Names, func(id *ast.Ident) bool { return id.Name == name }) {
					return true
				}
			}
		}
	}
	return false
}

// dedent takes one tab from the beginning of every line.
func dedent(body string) string {
	lines := strings.Split(strings.Trim(body, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "\t")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// The control: what differs, or is from nowhere, is found.
func TestGoThatIsFromNowhereIsFound(t *testing.T) {
	t.Parallel()
	const source = "package p\n\n// T is a type.\ntype T int\n\nfunc (t T) f() {\n\tg()\n\n\th()\n}\n"
	if got, err := excerpt(source, []string{"T", "f.body"}); err != nil || got != "// T is a type.\ntype T int\n\ng()\n\nh()\n" {
		t.Errorf("excerpt = %q, %v", got, err)
	}
	if _, err := excerpt(source, []string{"U"}); err == nil {
		t.Error("what is not in the file was found")
	}
	if _, err := (block{lang: "go", directive: "snippet no/such/file.go"}).snippet(); err == nil {
		t.Error("a file that does not exist was found")
	}
	if _, err := (block{lang: "go"}).snippet(); err == nil {
		t.Error("Go from nowhere is accepted")
	}
	p := newPage("p.md", "a\n```go\nold\nold\n```\nb")
	blocks, err := p.blocks()
	if err != nil || len(blocks) != 1 {
		t.Fatal(blocks, err)
	}
	if p.replace(blocks[0], "new\n"); strings.Join(p.lines, "\n") != "a\n```go\nnew\n```\nb" {
		t.Errorf("replaced: %q", p.lines)
	}
}
