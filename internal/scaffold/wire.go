package scaffold

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// wireFile lists what belongs to a service. It is the only file that is edited: by adding to it, and leaving all else as it is.
const wireFile = "wire.go"

type wire struct {
	path, module string
	before, src  []byte

	fset *token.FileSet
	tree *ast.File
}

func readWire(p *project) (*wire, error) {
	w := &wire{path: filepath.Join(p.dir, wireFile), module: p.module}
	var err error
	if w.before, err = os.ReadFile(w.path); err != nil {
		return nil, fmt.Errorf("read the list of events: %w", err)
	}
	return w, w.set(w.before)
}

func (w *wire) set(src []byte) error {
	w.src, w.fset = src, token.NewFileSet()
	var err error
	if w.tree, err = parser.ParseFile(w.fset, w.path, src, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return fmt.Errorf("read the list of events: %w", err)
	}
	return nil
}

// file is what becomes of the file.
func (w *wire) file() File {
	if bytes.Equal(w.before, w.src) {
		return File{wireFile, Unchanged, nil}
	}
	return File{wireFile, Changed, w.src}
}

// emit adds an event to the list that emitted returns.
func (w *wire) emit(variable string) error {
	if w.mentions("emitted", "events", variable) {
		return nil
	}
	var list *ast.CompositeLit
	if body := w.body("emitted"); body != nil {
		for _, statement := range body.List {
			if r, ok := statement.(*ast.ReturnStmt); ok && len(r.Results) == 1 {
				list, _ = r.Results[0].(*ast.CompositeLit)
			}
		}
	}
	line := "emit(events." + variable + ")"
	if list == nil {
		return fmt.Errorf("%s has no function emitted that returns a list []emission{…}: bring it back, or add %s to the service's events by hand", w.path, line)
	}
	if err := w.append(list.Elts, list.Rbrace, line+","); err != nil {
		return err
	}
	return w.finish(w.module + "/events")
}

// handle adds a reaction to a subscription in the function subscribe, and the subscription itself if it is not there.
func (w *wire) handle(subscription, function string) error {
	if w.mentions("subscribe", "handlers", function) {
		return nil
	}
	reaction := "handlers." + function + "(s.log)"
	body := w.body("subscribe")
	if body == nil {
		return fmt.Errorf("%s has no function subscribe: bring it back, or add %s to the subscription %s by hand", w.path, reaction, subscription)
	}
	var err error
	if call := w.subscription(body, subscription); call != nil {
		err = w.append(call.Args, call.Rparen, reaction+",")
	} else {
		err = w.insert(body.Rbrace, "\ns.app.Subscribe(tidings.Subscription{Name: "+strconv.Quote(subscription)+"},\n"+reaction+",\n)\n")
	}
	if err != nil {
		return err
	}
	return w.finish(tidings, w.module+"/handlers")
}

// body is what a function consists of; nil when it is not there.
func (w *wire) body(function string) *ast.BlockStmt {
	for _, d := range w.tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == function {
			return f.Body
		}
	}
	return nil
}

// mentions reports whether a function has pkg.name in it.
func (w *wire) mentions(function, pkg, what string) bool {
	found := false
	if body := w.body(function); body != nil {
		ast.Inspect(body, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			found = found || ok && s.Sel.Name == what && name(s.X) == pkg
			return !found
		})
	}
	return found
}

// subscription is the call of Subscribe with that name; nil when it is not there.
func (w *wire) subscription(body *ast.BlockStmt, subscription string) *ast.CallExpr {
	var found *ast.CallExpr
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 || call.Ellipsis.IsValid() {
			return true
		}
		config, isLiteral := call.Args[0].(*ast.CompositeLit)
		method, isMethod := call.Fun.(*ast.SelectorExpr)
		if !isLiteral || !isMethod || method.Sel.Name != "Subscribe" {
			return true
		}
		for _, e := range config.Elts {
			if pair, ok := e.(*ast.KeyValueExpr); ok && name(pair.Key) == "Name" && text(pair.Value) == subscription {
				found = call
			}
		}
		return found == nil
	})
	return found
}

// append adds a line to a list that ends with the token at end.
func (w *wire) append(list []ast.Expr, end token.Pos, line string) error {
	if n := len(list); n > 0 && !bytes.Contains(w.src[w.offset(list[n-1].End()):w.offset(end)], []byte(",")) {
		comma := w.offset(list[n-1].End())
		w.src = slices.Insert(slices.Clone(w.src), comma, ',')
		end++
	}
	return w.insert(end, "\n"+line+"\n")
}

// insert puts lines before the token at end, and takes away the empty line that there would be.
func (w *wire) insert(end token.Pos, lines string) error {
	at := w.offset(end)
	head := bytes.TrimRight(w.src[:at], " \t\n")
	return w.set(slices.Concat(head, []byte(lines), w.src[at:]))
}

// finish adds imports and formats.
func (w *wire) finish(paths ...string) error {
	var specs []string
	for _, i := range w.tree.Imports {
		end := i.End()
		if i.Comment != nil {
			end = i.Comment.End()
		}
		specs = append(specs, string(w.src[w.offset(i.Pos()):w.offset(end)]))
		paths = slices.DeleteFunc(paths, func(path string) bool { return i.Name == nil && path == pathOf(i.Path.Value) })
	}
	src := w.src
	if len(paths) > 0 {
		from, to := w.offset(w.tree.Name.End()), w.offset(w.tree.Name.End())
		for _, d := range w.tree.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
				if to == from {
					from = w.offset(g.Pos())
				}
				to = max(w.offset(g.End()), w.importsEnd())
			}
		}
		src = slices.Concat(src[:from], []byte("\n\n"+imports(w.module, append(specs, paths...))+"\n"), src[to:])
	}
	code, err := format.Source(src)
	if err != nil {
		return fmt.Errorf("format %s: %w", w.path, err)
	}
	return w.set(code)
}

// importsEnd is where the last comment beside an import ends; 0 when there is none.
func (w *wire) importsEnd() int {
	end := 0
	for _, i := range w.tree.Imports {
		if i.Comment != nil {
			end = w.offset(i.Comment.End())
		}
	}
	return end
}

func (w *wire) offset(at token.Pos) int { return w.fset.Position(at).Offset }
