package archtest_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	module = "github.com/tidings-go/tidings"
	root   = "tidings"
)

// row is one line of the table.
type row struct {
	pkg            string
	imports, tests []string
}

func parse(table string) ([]row, error) {
	var rows []row
	for line := range strings.SplitSeq(table, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, arrow := strings.Cut(line, "<-")
		imports, tests, _ := strings.Cut(rest, "tests:")
		names := strings.Fields(name)
		if !arrow || len(names) != 1 || strings.Contains(tests, "tests:") {
			return nil, fmt.Errorf("row %q: want 'package <- imports tests: imports'", line)
		}
		if slices.ContainsFunc(rows, func(r row) bool { return r.pkg == names[0] }) {
			return nil, fmt.Errorf("row %q: its package has a row already", line)
		}
		rows = append(rows, row{pkg: names[0], imports: strings.Fields(imports), tests: strings.Fields(tests)})
	}
	return rows, nil
}

// broken lists the rules of never that r would break.
func (r row) broken() []string {
	var complaints []string
	for _, rule := range never {
		if !matches(rule.who, r.pkg) || covered(strings.Fields(rule.except), r.pkg) {
			continue
		}
		what := strings.Fields(rule.what)
		for _, name := range r.imports {
			if covered(what, name) || slices.ContainsFunc(what, func(w string) bool { return matches(name, w) }) {
				complaints = append(complaints, fmt.Sprintf("row %s allows %s: %s", r.pkg, name, rule.because))
			}
		}
	}
	return complaints
}

// allows reports whether a file of r's package may import name. Tests may do what their package may, and more.
func (r row) allows(name string, test bool) bool {
	if covered(r.imports, name) {
		return true
	}
	return test && (matches(r.pkg, name) || covered(r.tests, name) || covered(strings.Fields(kits), name))
}

// check compares the Go files below tree with a table and returns a complaint for each that does not follow it.
func check(tree fs.FS, table string) ([]string, error) {
	rows, err := parse(table)
	if err != nil {
		return nil, err
	}
	var complaints []string
	err = fs.WalkDir(tree, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(tree, file):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		found, err := checkFile(tree, file, rows)
		complaints = append(complaints, found...)
		return err
	})
	slices.Sort(complaints)
	return slices.Compact(complaints), err
}

// skipped reports whether dir is no part of the module, as the go command sees it.
func skipped(tree fs.FS, dir string) bool {
	base := path.Base(dir)
	if dir == "." {
		return false
	}
	if base == "testdata" || dir == "internal/deps" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(tree, path.Join(dir, "go.mod"))
	return err == nil
}

func checkFile(tree fs.FS, file string, rows []row) ([]string, error) {
	pkg := path.Dir(file)
	if pkg == "." {
		pkg = root
	}
	i := slices.IndexFunc(rows, func(r row) bool { return matches(r.pkg, pkg) })
	if i < 0 {
		return []string{pkg + " has no row: add one to internal/archtest/table_test.go"}, nil
	}
	names, err := imports(tree, file)
	if err != nil {
		return nil, err
	}
	test, where := strings.HasSuffix(file, "_test.go"), ""
	if test {
		where = " in a test"
	}
	var complaints []string
	for _, name := range names {
		if !rows[i].allows(name, test) {
			complaints = append(complaints, fmt.Sprintf("%s imports %s%s (%s)", pkg, name, where, file))
		}
	}
	return complaints, nil
}

// imports lists what file imports besides the standard library, our own packages by their names in the table.
func imports(tree fs.FS, file string) ([]string, error) {
	text, err := fs.ReadFile(tree, file)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, spec := range parsed.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", file, spec.Path.Value, err)
		}
		ours, below := strings.CutPrefix(name, module+"/")
		switch {
		case name == module:
			names = append(names, root)
		case below:
			names = append(names, ours)
		case !standard(name):
			names = append(names, name)
		}
	}
	return names, nil
}

// standard reports whether an import path is of the standard library. cgo is not: tidings is pure Go.
func standard(name string) bool { return !foreign(name) && name != "C" }

// foreign reports whether name is a module of somebody else: there is a dot in its first part.
func foreign(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return strings.Contains(first, ".")
}

// covered reports whether one of patterns matches name.
func covered(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// matches reports whether a pattern of the table stands for name.
func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(name+"/", prefix)
	}
	return name == pattern || foreign(pattern) && strings.HasPrefix(name, pattern+"/")
}
