package scaffold

import (
	"fmt"
	"strings"
)

// Handler is a handler to write.
type Handler struct {
	// Subscription is the reader that it belongs to. A new one is made, one that is there gets another reaction.
	Subscription string
	// Event is the name of an event of the service, Version the version to handle: the newest if it is empty.
	Event, Version string
	// Tx gives the handler a transaction, in which its effect happens once.
	Tx bool
}

const handlerRemedy = "it is somebody's work; edit it by hand, or remove it to have it written anew"

// handlerFile is what the templates of a handler are filled in with.
type handlerFile struct {
	Subscription, Function string
	Event                  *version
	Tx                     bool
	Imports, TestImports   []string
}

// NewHandler plans a handler, its test, and its lines in wire.go, in the service in a folder.
func NewHandler(dir string, h Handler) (*Plan, error) {
	if err := checkDomain("subscription", h.Subscription); err != nil {
		return nil, err
	}
	p, err := openProject(dir)
	if err != nil {
		return nil, err
	}
	event, err := p.find(h.Event, h.Version)
	if err != nil {
		return nil, err
	}
	f := handlerFile{Subscription: h.Subscription, Function: goName(h.Subscription) + event.Payload, Event: event, Tx: h.Tx}
	f.Imports = []string{"context", "log/slog", tidings, p.module + "/events"}
	f.TestImports = append(packages(event.Fields), "bytes", "log/slog", "strings", "testing", "testing/synctest",
		tidings, tidings+"/tidingstest", p.module+"/events", p.module+"/handlers")
	if h.Tx {
		f.Imports = append(f.Imports, tidings+"/store")
		f.TestImports = append(f.TestImports, "path/filepath", tidings+"/store/sqlite")
	}
	return p.planHandler(&f)
}

func (p *project) planHandler(f *handlerFile) (*Plan, error) {
	plan := &Plan{Dir: p.dir, Hints: []string{"go test ./...", "go run ."}}
	path := "handlers/" + strings.ReplaceAll(f.Subscription, "-", "_") + "_" + fileName(f.Event.Name) + "_" + f.Event.Version
	for file, name := range map[string]string{path + ".go": "handler.go", path + "_test.go": "handler_test.go"} {
		content, err := render(name, p.module, f)
		if err != nil {
			return nil, err
		}
		if err = plan.add(file, content, handlerRemedy); err != nil {
			return nil, err
		}
	}
	if err := plan.document("handlers"); err != nil {
		return nil, err
	}
	w, err := readWire(p)
	if err != nil {
		return nil, err
	}
	if err = w.handle(f.Subscription, f.Function); err != nil {
		return nil, err
	}
	plan.Files = append(plan.Files, w.file())
	plan.sort()
	return plan, nil
}

// find is a version of an event: the newest if no version is named.
func (p *project) find(event, wanted string) (*version, error) {
	versions := p.of(event)
	if len(versions) == 0 {
		var names []string
		for _, v := range p.versions {
			if len(names) == 0 || names[len(names)-1] != v.Name {
				names = append(names, v.Name)
			}
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("event %q: the service has no events: make one by tidings new event DOMAIN NAME FIELD:TYPE…", event)
		}
		return nil, fmt.Errorf("event %q: the service has none of that name: want one of %s, or make it by tidings new event", event, strings.Join(names, ", "))
	}
	var all []string
	for _, v := range versions {
		if v.Version == wanted {
			return v, nil
		}
		all = append(all, v.Version)
	}
	if wanted != "" {
		return nil, fmt.Errorf("--version %q: %s has %s", wanted, event, strings.Join(all, ", "))
	}
	return versions[len(versions)-1], nil
}
