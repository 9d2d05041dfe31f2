package scaffold

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Event is a version of an event to write.
type Event struct {
	// Domain owns the event, Name is its name in Go's spelling.
	Domain, Name string
	// Version is v1 if it is empty. Any other one evolves from the newest older version, which must be there.
	Version string
	// Internal events are for this service only.
	Internal bool
	// Fields are the payload's, each name:type, name:type:key or name:type:subject.
	Fields []string
}

const eventRemedy = "it is somebody's work; edit it by hand, remove it to have it written anew, or make the next version of the event (--version)"

// eventFile is what the templates of an event are filled in with.
type eventFile struct {
	version
	Internal             bool
	Imports, TestImports []string
	SampleKey            string
	SampleJSON           string
	// Older is the version that this one evolves from; nil for the first.
	Older *version
	// Copied are the fields that both have, Missing says of the others what is to be done.
	Copied  []Field
	Missing []string
}

// NewEvent plans a version of an event, its test, and its line in wire.go, in the service in a folder.
func NewEvent(dir string, e Event) (*Plan, error) {
	if e.Version == "" {
		e.Version = "v1"
	}
	if err := checkDomain("domain", e.Domain); err != nil {
		return nil, err
	}
	if err := checkEvent(e.Name, e.Version); err != nil {
		return nil, err
	}
	fields, err := parseFields(e.Fields)
	if err != nil {
		return nil, err
	}
	project, err := openProject(dir)
	if err != nil {
		return nil, err
	}
	f := eventFile{version: newVersion(e, fields), Internal: e.Internal, SampleKey: sampleKey(fields), SampleJSON: sampleJSON(fields)}
	path := "events/" + fileName(e.Name) + "_" + e.Version
	if f.Older, err = project.older(&f.version, path+".go"); err != nil {
		return nil, err
	}
	f.compare()
	f.Imports = append(packages(fields), tidings)
	f.TestImports = append(packages(fields), "context", "log/slog", "reflect", "testing", "testing/synctest",
		tidings, tidings+"/tidingstest", project.module+"/events")
	if f.Older != nil {
		f.TestImports = append(f.TestImports, packages(f.Older.Fields)...)
	}
	return project.planEvent(path, f)
}

func newVersion(e Event, fields []Field) version {
	payload := e.Name
	if e.Version != "v1" {
		payload += "V" + e.Version[1:]
	}
	return version{Domain: e.Domain, Name: e.Name, Version: e.Version, Variable: payload + "Event", Payload: payload, Fields: fields}
}

// older is the version that v evolves from. It is an error if v has no place among what is there.
func (p *project) older(v *version, path string) (*version, error) {
	var older *version
	for _, other := range p.of(v.Name) {
		switch {
		case other.Domain != v.Domain:
			return nil, fmt.Errorf("event %s: the domain %s has one of that name (%s): choose another name", v.Name, other.Domain, p.declared[other.Variable])
		case other.number() < v.number():
			older = other
		case other.number() > v.number() && p.declared[v.Payload] == "":
			return nil, fmt.Errorf("event %s: there is a newer version already, %s: say --version v%d", v.Name, other.Version, other.number()+1)
		}
	}
	if older == nil && v.Version != "v1" {
		return nil, fmt.Errorf("event %s: there is nothing that %s could evolve from: make v1 first", v.Name, v.Version)
	}
	for _, name := range []string{v.Payload, v.Variable} {
		if at := p.declared[name]; at != "" && at != filepath.Join(p.dir, filepath.FromSlash(path)) {
			return nil, fmt.Errorf("event %s: %s declares %s already: choose another name", v.Name, at, name)
		}
	}
	return older, nil
}

// compare divides the fields into those that can be copied from the older version and those about which a person has to say something.
func (f *eventFile) compare() {
	if f.Older == nil {
		return
	}
	for _, field := range f.Fields {
		i := slices.IndexFunc(f.Older.Fields, func(o Field) bool { return o.GoName == field.GoName })
		switch {
		case i < 0:
			f.Missing = append(f.Missing, field.GoName+" is new in "+f.Version+": what was it before?")
		case f.Older.Fields[i].GoType != field.GoType:
			f.Missing = append(f.Missing, field.GoName+" is "+field.GoType+" now, and was "+f.Older.Fields[i].GoType+": how is one made of the other?")
		default:
			f.Copied = append(f.Copied, f.Older.Fields[i])
		}
	}
}

func (p *project) planEvent(path string, f eventFile) (*Plan, error) {
	plan := &Plan{Dir: p.dir}
	for file, name := range map[string]string{path + ".go": "event.go", path + "_test.go": "event_test.go"} {
		content, err := render(name, p.module, &f)
		if err != nil {
			return nil, err
		}
		if err = plan.add(file, content, eventRemedy); err != nil {
			return nil, err
		}
	}
	if err := plan.document("events"); err != nil {
		return nil, err
	}
	w, err := readWire(p)
	if err != nil {
		return nil, err
	}
	if err = w.emit(f.Variable); err != nil {
		return nil, err
	}
	plan.Files = append(plan.Files, w.file())
	if f.SampleKey == "" {
		plan.Hints = append(plan.Hints, "The event has no key, so its messages have no order: give the field that they are ordered by the suffix :key.")
	}
	if len(f.Missing) > 0 {
		plan.Hints = append(plan.Hints, "Fill in, in "+path+".go, how a "+f.Older.Version+" is read as a "+f.Version+".")
	}
	plan.Hints = append(plan.Hints, "go run .", "curl -s --json '"+f.SampleJSON+"' http://127.0.0.1:8080/events/"+f.Type(), "tidings new handler SUBSCRIPTION "+f.Name)
	plan.sort()
	return plan, nil
}
