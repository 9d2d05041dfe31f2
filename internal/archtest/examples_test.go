package archtest_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nouns are methods of the root package that say what something is, or hand out a part of it, and need no example.
const nouns = `
App.Broker App.Ready App.Store Code.Error Definition.IsInternal Definition.Type Delivery.Context Error.Error Error.Unwrap Event.IsInternal
FailureMode.String JSON.ContentType JSON.Decode JSON.Encode Module.Name Problem.String Request.Definition Scope.String Shared.EventTopic
`

// Every verb of the root package, which is what a service author reads first, is called in an example whose output is compared.
func TestEveryVerbHasAnExample(t *testing.T) {
	t.Parallel()
	files, tests := parseRoot(t)
	called := map[string]bool{}
	for _, example := range doc.Examples(tests...) {
		if example.Output == "" && !example.EmptyOutput {
			continue // it is compiled and not run
		}
		called[example.Name] = true
		ast.Inspect(example.Code, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				called[s.Sel.Name] = true
			}
			return true
		})
	}
	exempt := strings.Fields(nouns)
	found := map[string]bool{}
	for _, verb := range exported(files) {
		found[verb] = true
		_, name, method := strings.Cut(verb, ".")
		if !method {
			name = verb
		}
		if !called[name] && !called[strings.ReplaceAll(verb, ".", "_")] && !slices.Contains(exempt, verb) {
			t.Errorf("no tested example calls %s: add one, or add it to nouns if it only says what something is", verb)
		}
	}
	for _, noun := range exempt {
		if !found[noun] {
			t.Errorf("%s is among the nouns, and does not exist", noun)
		}
	}
}

func parseRoot(t *testing.T) (files, tests []*ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	names, err := filepath.Glob("../../*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(fset, name, source, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			tests = append(tests, file)
		} else {
			files = append(files, file)
		}
	}
	return files, tests
}

// exported are the exported functions, and the exported methods of exported types as Type.Method.
func exported(files []*ast.File) []string {
	var all []string
	for _, file := range files {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			if f.Recv == nil {
				all = append(all, f.Name.Name)
				continue
			}
			if receiver := baseName(f.Recv.List[0].Type); ast.IsExported(receiver) {
				all = append(all, receiver+"."+f.Name.Name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// baseName is the name of a receiver's type, without pointer and type parameters.
func baseName(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return baseName(x.X)
	case *ast.IndexExpr:
		return baseName(x.X)
	case *ast.IndexListExpr:
		return baseName(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}
