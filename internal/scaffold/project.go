package scaffold

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// version is one version of an event, as the code has it.
type version struct {
	Domain, Name, Version string
	// Variable is the definition, Payload the type, both in package events.
	Variable, Payload string
	Fields            []Field
}

// Type is the event's type on the wire.
func (v *version) Type() string { return v.Domain + "." + v.Name + "." + v.Version }

func (v *version) number() int {
	n, err := strconv.Atoi(strings.TrimPrefix(v.Version, "v"))
	if err != nil {
		return 0
	}
	return n
}

// project is a service's code, as far as it concerns events.
type project struct {
	dir, module string
	// versions are the events, the versions of each in their order.
	versions []*version
	// declared has the file that declares a name in package events.
	declared map[string]string

	fset    *token.FileSet
	structs map[string]*ast.StructType
	results map[string]ast.Expr // the first result of each function
}

// openProject reads the service in a folder.
func openProject(dir string) (*project, error) {
	module, err := readModule(dir)
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, wireFile))
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no service in %s (a go.mod and a %s): go to its folder, name it with --dir, or make one by tidings new service NAME", dir, wireFile)
	}
	if err != nil {
		return nil, err
	}
	p := &project{
		dir: dir, module: module, declared: map[string]string{}, fset: token.NewFileSet(), structs: map[string]*ast.StructType{}, results: map[string]ast.Expr{},
	}
	files, err := filepath.Glob(filepath.Join(dir, "events", "*.go"))
	if err != nil {
		return nil, fmt.Errorf("list the events: %w", err)
	}
	var definitions []*ast.ValueSpec
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(p.fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read the events: %w", err)
		}
		definitions = append(definitions, p.declare(path, file)...)
	}
	p.define(definitions)
	slices.SortStableFunc(p.versions, func(a, b *version) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.number(), b.number()))
	})
	return p, nil
}

// declare takes in what a file declares, and returns its variables.
func (p *project) declare(path string, file *ast.File) []*ast.ValueSpec {
	var variables []*ast.ValueSpec
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				p.declared[d.Name.Name] = path
				if r := d.Type.Results; r != nil {
					p.results[d.Name.Name] = r.List[0].Type
				}
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v := p.specify(path, spec); v != nil {
					variables = append(variables, v)
				}
			}
		}
	}
	return variables
}

// specify takes in a declaration, and returns it if it is a variable that may be an event.
func (p *project) specify(path string, spec ast.Spec) *ast.ValueSpec {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		p.declared[spec.Name.Name] = path
		if s, ok := spec.Type.(*ast.StructType); ok {
			p.structs[spec.Name.Name] = s
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			p.declared[name.Name] = path
		}
		if len(spec.Names) == 1 && len(spec.Values) == 1 {
			return spec
		}
	}
	return nil
}

// define finds the events among variables. What evolves from another comes after it, in whichever order they are declared.
func (p *project) define(variables []*ast.ValueSpec) {
	for range variables {
		for _, spec := range variables {
			call, ok := spec.Values[0].(*ast.CallExpr)
			if !ok || p.defined(spec.Names[0].Name) != nil {
				continue
			}
			if v := p.definition(call); v != nil {
				v.Variable = spec.Names[0].Name
				v.Fields = p.fields(v.Payload)
				p.versions = append(p.versions, v)
			}
		}
	}
}

// definition reads a call of Define or Evolve; nil when it is none.
func (p *project) definition(call *ast.CallExpr) *version {
	function := call.Fun
	var payload ast.Expr
	if index, ok := function.(*ast.IndexExpr); ok {
		function, payload = index.X, index.Index
	}
	selector, ok := function.(*ast.SelectorExpr)
	switch {
	case !ok:
		return nil
	case selector.Sel.Name == "Define" && payload != nil && len(call.Args) >= 3:
		return &version{Domain: text(call.Args[0]), Name: text(call.Args[1]), Version: text(call.Args[2]), Payload: name(payload)}
	case selector.Sel.Name == "Evolve" && len(call.Args) >= 3:
		older := p.defined(name(call.Args[0]))
		if older == nil {
			return nil
		}
		return &version{Domain: older.Domain, Name: older.Name, Version: text(call.Args[1]), Payload: name(p.result(call.Args[2]))}
	default:
		return nil
	}
}

// result is the type of what a function returns first.
func (p *project) result(function ast.Expr) ast.Expr {
	if f, ok := function.(*ast.FuncLit); ok && f.Type.Results != nil {
		return f.Type.Results.List[0].Type
	}
	return p.results[name(function)]
}

// defined is the version that a variable of package events has.
func (p *project) defined(variable string) *version {
	for _, v := range p.versions {
		if v.Variable == variable {
			return v
		}
	}
	return nil
}

// of are the versions of an event, oldest first.
func (p *project) of(event string) []*version {
	var versions []*version
	for _, v := range p.versions {
		if v.Name == event {
			versions = append(versions, v)
		}
	}
	return versions
}

// fields are the named fields of a payload.
func (p *project) fields(payload string) []Field {
	s := p.structs[payload]
	if s == nil {
		return nil
	}
	var fields []Field
	for _, f := range s.Fields.List {
		var typ strings.Builder
		if printer.Fprint(&typ, p.fset, f.Type) != nil { // it is what was just read
			continue
		}
		for _, n := range f.Names {
			fields = append(fields, sampled(n.Name, typ.String(), f.Tag))
		}
	}
	return fields
}

// sampled is a field as the code has it, with a sample if its type is one of kinds.
func sampled(goName, goType string, tag *ast.BasicLit) Field {
	f := Field{GoName: goName, GoType: goType}
	member := goName
	if tag != nil {
		f.Tag = tag.Value
		member, _, _ = strings.Cut(reflect.StructTag(strings.Trim(tag.Value, "`")).Get("json"), ",")
	}
	for _, k := range kinds {
		if list, element := "[]"+k.goType, k.goType; goType == list || goType == element {
			typ := strings.Replace(goType, k.goType, k.name, 1)
			if f.setType(cmp.Or(member, goName), typ) != nil { // the type is one of kinds
				return f
			}
		}
	}
	return f
}

// text is the value of a string in the code, or "".
func text(e ast.Expr) string {
	if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
		if s, err := strconv.Unquote(literal.Value); err == nil {
			return s
		}
	}
	return ""
}

// name is an identifier in the code, or "".
func name(e ast.Expr) string {
	if ident, ok := e.(*ast.Ident); ok {
		return ident.Name
	}
	return ""
}
