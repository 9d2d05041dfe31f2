package scaffold

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// Service is a service to write.
type Service struct {
	// Name names it: lower-case letters, digits and '-'.
	Name string
	// Dir is the folder. Default: the name, here.
	Dir string
	// Module is the Go module's path. Default example.com/ and the name; where there is a go.mod already, what that says.
	Module string
	// Version is the version of tidings that the module requires.
	Version string
	// Replace is a folder with tidings' source, which is used in place of a version.
	Replace string
}

const serviceRemedy = "it is somebody's work; move it away, or choose another folder (--dir)"

// NewService plans a service that runs, with a test, and nothing in it yet.
func NewService(s Service) (*Plan, error) {
	if err := checkDomain("service", s.Name); err != nil {
		return nil, err
	}
	p := &Plan{Dir: cmp.Or(s.Dir, s.Name)}
	module, err := readModule(p.Dir)
	switch {
	case err == nil && s.Module != "" && s.Module != module:
		return nil, fmt.Errorf("--module %s: %s says that the module is %s: leave --module out, or choose another folder (--dir)", s.Module, filepath.Join(p.Dir, "go.mod"), module)
	case err == nil:
		s.Module = module
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	s.Module = cmp.Or(s.Module, "example.com/"+s.Name)
	for _, name := range []string{"main.go", "service.go", "service_test.go", "web.go", "README.md"} {
		content, err := render(name, s.Module, s)
		if err != nil {
			return nil, err
		}
		if err = p.add(name, content, serviceRemedy); err != nil {
			return nil, err
		}
	}
	for path, name := range map[string]string{"go.mod": "go.mod", wireFile: wireFile, ".gitignore": "gitignore"} {
		content, err := render(name, s.Module, s)
		if err != nil {
			return nil, err
		}
		if err = p.keep(path, content); err != nil {
			return nil, err
		}
	}
	p.sort()
	return p, nil
}

var modulePattern = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)"?`)

// readModule is the path of the module in a folder. Where there is none the error is os.ErrNotExist.
func readModule(dir string) (string, error) {
	content, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // it is the folder that the user names
	if err != nil {
		return "", fmt.Errorf("read the module's name: %w", err)
	}
	found := modulePattern.FindSubmatch(content)
	if found == nil {
		return "", fmt.Errorf("%s has no line that begins with module", filepath.Join(dir, "go.mod"))
	}
	return string(found[1]), nil
}
