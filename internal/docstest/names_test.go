package docstest_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	qualified = regexp.MustCompile(`\btidings\.([A-Z]\w*)`)
	member    = regexp.MustCompile(`\b([A-Z]\w*)\.([A-Z]\w*)`)
	subject   = regexp.MustCompile("^`tidings((?: [a-z]+)+)")
)

// Names that a page says in passing exist: those of package tidings, and fields and methods of types.
func TestNamesInPagesExist(t *testing.T) {
	t.Parallel()
	known := exported(t)
	checked := 0
	for _, c := range inPassing(t) {
		checked++
		if err := known.check(c.code); err != nil {
			t.Errorf("%s: %s: %v", c.place, c.code, err)
		}
	}
	if checked < 100 {
		t.Errorf("only %d pieces of code were found", checked)
	}
}

// commandsExist checks the commands that a page says in passing.
func commandsExist(t *testing.T, program string) {
	t.Helper()
	for _, c := range inPassing(t) {
		if m := subject.FindStringSubmatch(c.code); m != nil {
			if err := checkCommand(t, program, m[1]); err != nil {
				t.Errorf("%s: %s: %v", c.place, c.code, err)
			}
		}
	}
}

// passage is code in a line of text.
type passage struct{ place, code string }

func inPassing(t *testing.T) []passage {
	t.Helper()
	var all []passage
	for _, p := range pages(t, "README.md", "docs/*.md") {
		for i, line := range p.prose() {
			for _, code := range inline.FindAllString(line, -1) {
				all = append(all, passage{fmt.Sprintf("%s:%d", p.name, i+1), code})
			}
		}
	}
	return all
}

// names are exported names with their fields and methods: in tidings those of the package, in members those of all packages that a user sees.
type names struct {
	tidings map[string]bool
	members map[string]map[string]bool
}

func exported(t *testing.T) names {
	t.Helper()
	known := names{map[string]bool{}, map[string]map[string]bool{}}
	for _, pattern := range []string{"*.go", "[a-hj-z]*/*.go", "broker/*/*.go", "store/*/*.go"} { // all but what is internal
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range tree.Decls {
				declared(d, func(name, of string) {
					if tree.Name.Name == "tidings" {
						known.tidings[name] = true
					}
					if known.members[name] == nil {
						known.members[name] = map[string]bool{}
					}
					known.members[name][of] = true
				})
			}
		}
	}
	return known
}

// declared calls add for each name that a declaration declares, and for each field or method of it.
func declared(d ast.Decl, add func(name, of string)) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			add(d.Name.Name, "")
			return
		}
		ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if ok {
				add(id.Name, d.Name.Name)
			}
			return !ok
		})
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, id := range s.Names {
					add(id.Name, "")
				}
			case *ast.TypeSpec:
				add(s.Name.Name, "")
				fields, ok := s.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, f := range fields.Fields.List {
					for _, id := range f.Names {
						add(s.Name.Name, id.Name)
					}
				}
			}
		}
	}
}

func (n names) check(code string) error {
	for _, m := range qualified.FindAllStringSubmatch(code, -1) {
		if !n.tidings[m[1]] {
			return fmt.Errorf("package tidings has no %s", m[1])
		}
	}
	for _, m := range member.FindAllStringSubmatch(code, -1) {
		if of, ok := n.members[m[1]]; ok && !of[m[2]] {
			return fmt.Errorf("%s has no %s", m[1], m[2])
		}
	}
	return nil
}

// checkCommand asks the program for help with a command. Of one that does not exist it shows the help of the one above.
func checkCommand(t *testing.T, program, command string) error {
	t.Helper()
	args := append(strings.Fields(command), "--help")
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err == nil && !strings.Contains(string(out), "\n  tidings"+command) {
		err = fmt.Errorf("there is no such command:\n%s", out)
	}
	return err
}

// The control: names that do not exist are found out.
func TestNamesThatDoNotExistAreFound(t *testing.T) {
	t.Parallel()
	known := exported(t)
	for code, right := range map[string]bool{
		"`tidings.On`": true, "`tidings.Onward(x)`": false,
		"`Config.Owns`": true, "`Config.Ownz`": false, "`App.Run`": true, "`App.Walk`": false, "`Other.Thing`": true,
	} {
		if err := known.check(code); (err == nil) != right {
			t.Errorf("%s: %v", code, err)
		}
	}
}
