// Package scaffold writes the code that a team begins with: a service, an event with its test, a handler with its test.
//
//	plan, err := scaffold.NewEvent(dir, scaffold.Event{Domain: "shop", Name: "OrderPlaced", Fields: []string{"order_id:uuid:key"}})
//	if err != nil {
//		return err
//	}
//	err = plan.Write()
//
// A plan is made first and then written, so a mistake leaves everything as it was. What is there already, word for word, is left alone; so a plan that
// has been written is empty when it is made again. A file that is there and is different is somebody's work: the plan is an error that
// names it. Only wire.go, the list of what belongs to the service, is edited, by adding lines to it.
//
// The code is in templates, one for each file that is written.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// State says what becomes of a file.
type State string

// What becomes of a file.
const (
	// Written files are new.
	Written State = "written"
	// Changed files get lines added.
	Changed State = "changed"
	// Unchanged files are as they should be.
	Unchanged State = "unchanged"
)

// File is a file of a plan. Path is relative to the service's folder, with slashes.
type File struct {
	Path  string
	State State

	content []byte
}

// Plan is what is to be written.
type Plan struct {
	// Dir is the service's folder.
	Dir   string
	Files []File
	// Hints are what a person may want to do next, one command or sentence each.
	Hints []string
}

// Empty reports whether there is nothing to write.
func (p *Plan) Empty() bool {
	for _, f := range p.Files {
		if f.State != Unchanged {
			return false
		}
	}
	return true
}

// Write writes what is not as it should be.
func (p *Plan) Write() error {
	for _, f := range p.Files {
		if f.State == Unchanged {
			continue
		}
		path := filepath.Join(p.Dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		if err := os.WriteFile(path, f.content, 0o644); err != nil { //nolint:gosec // source code is for everybody who may see the folder
			return fmt.Errorf("write a file: %w", err)
		}
	}
	return nil
}

// add plans a file that must not be there otherwise. remedy says what to do if it is.
func (p *Plan) add(path string, content []byte, remedy string) error {
	old, err := os.ReadFile(filepath.Join(p.Dir, filepath.FromSlash(path)))
	switch {
	case errors.Is(err, os.ErrNotExist):
		p.Files = append(p.Files, File{path, Written, content})
	case err != nil:
		return fmt.Errorf("see whether a file is there: %w", err)
	case bytes.Equal(old, content):
		p.Files = append(p.Files, File{path, Unchanged, content})
	default:
		return fmt.Errorf("%s is there and is not what would be written, so nothing was: %s", filepath.Join(p.Dir, filepath.FromSlash(path)), remedy)
	}
	return nil
}

// keep plans a file that is written if it is not there, whatever becomes of it later.
func (p *Plan) keep(path string, content []byte) error {
	_, err := os.Stat(filepath.Join(p.Dir, filepath.FromSlash(path)))
	if err == nil {
		p.Files = append(p.Files, File{path, Unchanged, nil})
		return nil
	}
	return p.add(path, content, "")
}

// document plans the file with a package's comment.
func (p *Plan) document(pkg string) error {
	content, err := render(pkg+".doc.go", "", nil)
	if err != nil {
		return err
	}
	return p.keep(pkg+"/doc.go", content)
}

// sort puts the files in the order of their names.
func (p *Plan) sort() {
	slices.SortFunc(p.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
}

//go:embed templates
var templates embed.FS

// render makes a file of a template. Go code is formatted.
func render(name, module string, data any) ([]byte, error) {
	functions := template.FuncMap{
		"quote":   strconv.Quote,
		"imports": func(paths []string) string { return imports(module, paths) },
	}
	t, err := template.New(name+".tmpl").Funcs(functions).ParseFS(templates, "templates/"+name+".tmpl")
	if err != nil {
		return nil, fmt.Errorf("read the template of %s: %w", name, err)
	}
	var out bytes.Buffer
	if err = t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("fill in the template of %s: %w", name, err)
	}
	if !strings.HasSuffix(name, ".go") {
		return out.Bytes(), nil
	}
	code, err := format.Source(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("format %s: %w", name, err)
	}
	return code, nil
}
