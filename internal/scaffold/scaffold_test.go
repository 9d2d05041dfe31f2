package scaffold_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidings-go/tidings/internal/scaffold"
)

// That the code compiles, passes lint and works is tested where the command is, in cmd/tidings.

// newService writes a service into a folder of the test's own.
func newService(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	do(t)(scaffold.NewService(scaffold.Service{Name: "shop", Dir: dir, Version: "v0.1.0"}))
	return dir
}

// do writes a plan that has to be fine, and returns it.
func do(t *testing.T) func(*scaffold.Plan, error) *scaffold.Plan {
	t.Helper()
	return func(p *scaffold.Plan, err error) *scaffold.Plan {
		t.Helper()
		if err == nil {
			err = p.Write()
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

func placed(fields ...string) scaffold.Event {
	return scaffold.Event{Domain: "shop", Name: "OrderPlaced", Fields: fields}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func edit(t *testing.T, old, replacement string, path ...string) {
	t.Helper()
	content := read(t, path...)
	if !strings.Contains(content, old) {
		t.Fatalf("there is no %q in %v", old, path)
	}
	if err := os.WriteFile(filepath.Join(path...), []byte(strings.Replace(content, old, replacement, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tree is all files and what is in them.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[path] = read(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestAPlanThatWasWrittenIsEmpty(t *testing.T) {
	t.Parallel()
	dir := newService(t)
	steps := map[string]func() (*scaffold.Plan, error){
		"service": func() (*scaffold.Plan, error) {
			return scaffold.NewService(scaffold.Service{Name: "shop", Dir: dir, Version: "v0.1.0"})
		},
		"1": func() (*scaffold.Plan, error) {
			return scaffold.NewEvent(dir, placed("order_id:uuid:key", "at:[]time"))
		},
		"2 handler": func() (*scaffold.Plan, error) {
			return scaffold.NewHandler(dir, scaffold.Handler{Subscription: "mailer", Event: "OrderPlaced", Version: "v1"})
		},
		"3 version": func() (*scaffold.Plan, error) {
			e := placed("order_id:uuid:key", "at:[]string")
			e.Version = "v2"
			return scaffold.NewEvent(dir, e)
		},
		"4 handler": func() (*scaffold.Plan, error) {
			return scaffold.NewHandler(dir, scaffold.Handler{Subscription: "mailer", Event: "OrderPlaced", Version: "v2", Tx: true})
		},
	}
	names := []string{"service", "1", "2 handler", "3 version", "4 handler"}
	for _, name := range names {
		do(t)(steps[name]())
	}
	before := tree(t, dir)
	for _, name := range names {
		if p := do(t)(steps[name]()); !p.Empty() {
			t.Errorf("%s again: %+v", name, p.Files)
		}
	}
	for path, content := range tree(t, dir) {
		if before[path] != content {
			t.Errorf("%s has changed", path)
		}
	}
}

func TestWhatSomebodyHasChangedIsNotOverwritten(t *testing.T) {
	t.Parallel()
	dir := newService(t)
	do(t)(scaffold.NewEvent(dir, placed("order_id:uuid:key")))
	do(t)(scaffold.NewHandler(dir, scaffold.Handler{Subscription: "mailer", Event: "OrderPlaced"}))
	for _, test := range []struct {
		file string
		plan func() (*scaffold.Plan, error)
	}{
		{"main.go", func() (*scaffold.Plan, error) {
			return scaffold.NewService(scaffold.Service{Name: "shop", Dir: dir, Version: "v0.1.0"})
		}},
		{"events/order_placed_v1.go", func() (*scaffold.Plan, error) { return scaffold.NewEvent(dir, placed("order_id:uuid:key")) }},
		{"events/order_placed_v1_test.go", func() (*scaffold.Plan, error) { return scaffold.NewEvent(dir, placed("order_id:uuid:key")) }},
		{"handlers/mailer_order_placed_v1.go", func() (*scaffold.Plan, error) {
			return scaffold.NewHandler(dir, scaffold.Handler{Subscription: "mailer", Event: "OrderPlaced"})
		}},
	} {
		original := read(t, dir, test.file)
		edit(t, "package ", "// Mine.\npackage ", dir, test.file)
		before := tree(t, dir)
		_, err := test.plan()
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, filepath.FromSlash(test.file))) || !strings.Contains(err.Error(), "somebody's work") {
			t.Errorf("%s: %v", test.file, err)
		}
		for path, content := range tree(t, dir) {
			if before[path] != content {
				t.Errorf("%s: %s has changed", test.file, path)
			}
		}
		edit(t, "// Mine.\n", "", dir, test.file)
		if read(t, dir, test.file) != original {
			t.Fatal("the test has not tidied up")
		}
	}
}

// wire.go is edited, whatever people made of it, and what they wrote in it stays.
func TestLinesAreAddedToTheList(t *testing.T) {
	t.Parallel()
	dir := newService(t)
	do(t)(scaffold.NewEvent(dir, placed("order_id:uuid:key")))
	list := filepath.Join(dir, "wire.go")
	const mine = `package main

import "github.com/tidings-go/tidings"

import ev "example.com/shop/events" // an old name

// emitted are ours.
func emitted() []emission { return []emission{emit(ev.OrderPlacedEvent)} }

func (s *service) subscribe() {
	// The mailer is slow.
	s.app.Subscribe(tidings.Subscription{Concurrency: 2, Name: "mailer"}, nil)
	// The last word.
}
`
	if err := os.WriteFile(list, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	do(t)(scaffold.NewEvent(dir, scaffold.Event{Domain: "shop", Name: "OrderPaid", Fields: []string{"order_id:uuid:key"}}))
	do(t)(scaffold.NewHandler(dir, scaffold.Handler{Subscription: "mailer", Event: "OrderPaid"}))
	do(t)(scaffold.NewHandler(dir, scaffold.Handler{Subscription: "order-desk", Event: "OrderPaid"}))
	const want = `package main

import (
	"github.com/tidings-go/tidings"

	"example.com/shop/events"
	ev "example.com/shop/events" // an old name
	"example.com/shop/handlers"
)

// emitted are ours.
func emitted() []emission {
	return []emission{emit(ev.OrderPlacedEvent),
		emit(events.OrderPaidEvent),
	}
}

func (s *service) subscribe() {
	// The mailer is slow.
	s.app.Subscribe(tidings.Subscription{Concurrency: 2, Name: "mailer"}, nil,
		handlers.MailerOrderPaid(s.log),
	)
	// The last word.
	s.app.Subscribe(tidings.Subscription{Name: "order-desk"},
		handlers.OrderDeskOrderPaid(s.log),
	)
}
`
	if got := read(t, list); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A list that can't be edited is an error that says what to write by hand, and nothing is written.
func TestAListThatIsGone(t *testing.T) {
	t.Parallel()
	dir := newService(t)
	edit(t, "func emitted() []emission {\n\treturn []emission{}", "func emitted() []emission {\n\treturn nil", dir, "wire.go")
	if _, err := scaffold.NewEvent(dir, placed("id:int:key")); err == nil || !strings.Contains(err.Error(), "add emit(events.OrderPlacedEvent) to the service's events by hand") {
		t.Errorf("no list: %v", err)
	}
	edit(t, "return nil", "return []emission{}", dir, "wire.go")
	do(t)(scaffold.NewEvent(dir, placed("id:int:key")))
	edit(t, "subscribe()", "react()", dir, "wire.go")
	_, err := scaffold.NewHandler(dir, scaffold.Handler{Subscription: "mailer", Event: "OrderPlaced"})
	if err == nil || !strings.Contains(err.Error(), "add handlers.MailerOrderPlaced(s.log) to the subscription mailer by hand") {
		t.Errorf("no subscriptions: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "handlers")); err == nil {
		t.Error("something was written")
	}
}

// People rename types and variables, and move definitions: events are found all the same.
func TestEventsAreFoundByTheirDefinition(t *testing.T) {
	t.Parallel()
	dir := newService(t)
	if err := os.MkdirAll(filepath.Join(dir, "events"), 0o750); err != nil {
		t.Fatal(err)
	}
	const mine = `package events

var Placed3 = tidings.Evolve(Placed2, "v3", lift)

func lift(old Second) (Third, error) { return Third{}, nil }

var Placed2 = tidings.Evolve(Placed, "v2", func(old First) (Second, error) { return Second{}, nil })

var Placed = tidings.Define[First]("shop", "OrderPlaced", "v1")

type (
	First  struct{ ID string }
	Second struct{ ID string }
	Third  struct {
		ID, Other string
		Amount int64 ` + "`json:\"sum\"`" + `
		Deep   struct{ Sea bool }
	}
)
`
	if err := os.WriteFile(filepath.Join(dir, "events", "mine.go"), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	e := placed("id:string:key", "amount:int64", "other:bool", "list:[]float64")
	e.Version = "v4"
	p := do(t)(scaffold.NewEvent(dir, e))
	got := read(t, dir, "events", "order_placed_v4.go")
	for _, want := range []string{
		`var OrderPlacedV4Event = tidings.Evolve(Placed3, "v4", func(old Third) (OrderPlacedV4, error) {`, "ID:     old.ID,", "Amount: old.Amount,",
		"// Other is bool now, and was string: how is one made of the other?", "// List is new in v4: what was it before?",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %s in\n%s", want, got)
		}
	}
	if !slices.ContainsFunc(p.Hints, func(hint string) bool { return strings.Contains(hint, "how a v3 is read as a v4") }) {
		t.Errorf("hints: %q", p.Hints)
	}
	do(t)(scaffold.NewHandler(dir, scaffold.Handler{Subscription: "desk", Event: "OrderPlaced", Version: "v2"}))
	if got := read(t, dir, "handlers", "desk_order_placed_v2.go"); !strings.Contains(got, "tidings.On(events.Placed2, func(ctx context.Context, e events.Second)") {
		t.Errorf("the handler of v2:\n%s", got)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	dir := newService(t)
	do(t)(scaffold.NewEvent(dir, placed("order_id:uuid:key")))
	e2, e4 := placed("order_id:uuid:key"), placed("order_id:uuid:key")
	e2.Version, e4.Version = "v2", "v4"
	do(t)(scaffold.NewEvent(dir, e4))
	event := func(domain, name, version string, fields ...string) func() (*scaffold.Plan, error) {
		return func() (*scaffold.Plan, error) {
			return scaffold.NewEvent(dir, scaffold.Event{Domain: domain, Name: name, Version: version, Fields: fields})
		}
	}
	handler := func(subscription, event, version string) func() (*scaffold.Plan, error) {
		return func() (*scaffold.Plan, error) {
			return scaffold.NewHandler(dir, scaffold.Handler{Subscription: subscription, Event: event, Version: version})
		}
	}
	for want, plan := range map[string]func() (*scaffold.Plan, error){
		`service "My Shop": want lower-case letters`: func() (*scaffold.Plan, error) { return scaffold.NewService(scaffold.Service{Name: "My Shop"}) },
		`says that the module is example.com/shop`: func() (*scaffold.Plan, error) {
			return scaffold.NewService(scaffold.Service{Name: "shop", Dir: dir, Module: "other"})
		},
		`there is no service in`:                     func() (*scaffold.Plan, error) { return scaffold.NewEvent(t.TempDir(), placed("id:int")) },
		`domain "Shop": want lower-case letters`:     event("Shop", "A", "", "id:int"),
		`event "orderPlaced": want letters`:          event("shop", "orderPlaced", "", "id:int"),
		`event "OrderPlacedV2": the version is no`:   event("shop", "OrderPlacedV2", "", "id:int"),
		`--version "2": want v and a number`:         event("shop", "OrderPlaced", "2", "id:int"),
		`want some, such as order_id:uuid:key`:       event("shop", "OrderPaid", ""),
		`field "id": want name:type`:                 event("shop", "OrderPaid", "", "id"),
		`name "orderID": want lower-case`:            event("shop", "OrderPaid", "", "orderID:int"),
		`type "integer": want one of string, int,`:   event("shop", "OrderPaid", "", "id:integer"),
		`type "[][]int": want one of`:                event("shop", "OrderPaid", "", "id:[][]int"),
		`"keys" after the type: want key or`:         event("shop", "OrderPaid", "", "id:int:keys"),
		`a float64 can't be a key: want one of str`:  event("shop", "OrderPaid", "", "id:float64:key"),
		`a []string can't be a key`:                  event("shop", "OrderPaid", "", "id:[]string:key"),
		`there is a field OrderID already`:           event("shop", "OrderPaid", "", "order_id:int", "order_id:string"),
		`Show is the subject already`:                event("shop", "OrderPaid", "", "show:string:subject", "seat:string:subject"),
		`the domain shop has one of that name`:       event("desk", "OrderPlaced", "", "id:int"),
		`there is a newer version already, v4`:       func() (*scaffold.Plan, error) { return scaffold.NewEvent(dir, e2) },
		`nothing that v3 could evolve from`:          event("shop", "OrderPaid", "v3", "id:int"),
		`declares OrderPlacedEvent already`:          event("shop", "OrderPlacedEvent", "", "id:int"),
		`subscription "Mailer": want lower-case`:     handler("Mailer", "OrderPlaced", ""),
		`none of that name: want one of OrderPlaced`: handler("mailer", "Nothing", ""),
		`--version "v9": OrderPlaced has v1, v4`:     handler("mailer", "OrderPlaced", "v9"),
	} {
		if _, err := plan(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s, got: %v", want, err)
		}
	}
	// All mistakes in fields at once.
	if _, err := event("shop", "OrderPaid", "", "a", "b:c")(); err == nil || strings.Count(err.Error(), "field") != 2 {
		t.Errorf("two mistakes: %v", err)
	}
}

func TestCodeThatDoesNotParse(t *testing.T) {
	t.Parallel()
	dir := newService(t)
	edit(t, "package main", "packagemain", dir, "wire.go")
	if _, err := scaffold.NewEvent(dir, placed("id:int")); err == nil || !strings.Contains(err.Error(), "wire.go:1:1") {
		t.Errorf("wire.go: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "events"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "events", "a.go"), []byte("package events\nvar ="), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := scaffold.NewEvent(dir, placed("id:int")); err == nil || !strings.Contains(err.Error(), "a.go:2:") {
		t.Errorf("events: %v", err)
	}
}
