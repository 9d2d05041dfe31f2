package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/delivery/audit"
	"github.com/tidings-go/tidings/examples/delivery/notification"
	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/examples/delivery/tracking"
	"github.com/tidings-go/tidings/examples/internal/program"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/tidingstest"
)

// place is where a system runs.
type place struct{ broker, store string }

func embeddedPlace(t *testing.T) place {
	t.Helper()
	here := trial.Embedded(t)
	return place{here, here}
}

func memoryPlace(t *testing.T) place {
	t.Helper()
	return place{"memory:", trial.SQLite(t, "delivery.db")}
}

// open opens what a system needs.
func open(t *testing.T, p place) config {
	t.Helper()
	c := trial.Open(t, p.broker, p.store)
	return config{Connection: c, Env: trial.Name("delivery-"), AuditWait: 50 * time.Millisecond, Addr: "127.0.0.1:0", Log: trial.Log(t)}
}

// start runs a system until the test ends. add, if it is not nil, adds modules.
func start(t *testing.T, p place, add func(s *system)) *system {
	t.Helper()
	s, err := newSystem(t.Context(), open(t, p))
	if err != nil {
		t.Fatal(err)
	}
	if add != nil {
		add(s)
	}
	trial.Run(t, s.during)
	return s
}

func TestLoadEmbedded(t *testing.T) {
	t.Parallel()
	testLoad(t, embeddedPlace(t))
}

func TestLoadOnNATSAndPostgreSQL(t *testing.T) {
	t.Parallel()
	testLoad(t, place{testenv.NATS(t), trial.Postgres(t, "delivery")})
}

func TestLoadOnNATSAndSQLite(t *testing.T) {
	t.Parallel()
	testLoad(t, place{testenv.NATS(t), trial.SQLite(t, "delivery.db")})
}

// testLoad makes requests, and then breaks the database to see that the summary tells.
func testLoad(t *testing.T, p place) {
	t.Helper()
	s := start(t, p, nil)
	requests := 100
	if testenv.Soak() {
		requests = 20_000
	}
	var out bytes.Buffer
	if err := s.load(t.Context(), options{Flags: program.Flags{Load: requests, Output: "json"}}, &out); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	var r summary
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || !r.Fine() || r.Requests != requests || r.Orders < 32 || r.Entries != r.Orders || r.Steps <= r.Orders || r.PerSecond == 0 {
		t.Errorf("%v: %s", err, &out)
	}
	for _, harm := range []struct {
		statement string
		shows     func(s summary) bool
	}{
		{`UPDATE tracking_steps SET step = 10 - step`, func(s summary) bool { return s.OutOfOrder > 0 && s.Lost == 0 && s.Doubled == 0 }},
		{`INSERT INTO tracking_steps SELECT order_id, 20, revision, text FROM tracking_steps WHERE revision = 1`, func(s summary) bool { return s.Doubled == r.Orders && s.Lost == 0 }},
		{`DELETE FROM tracking_steps WHERE revision = 2`, func(s summary) bool { return s.Lost > 0 && s.Lost <= r.Orders }},
		{`UPDATE audit_entries SET amount = amount + 1`, func(s summary) bool { return s.Lost > r.Orders }},
		{`DELETE FROM orders`, func(s summary) bool { return s.Lost == r.Payments && s.Doubled >= r.Events }},
	} {
		if _, err := s.DB.ExecContext(t.Context(), harm.statement); err != nil {
			t.Fatal(err)
		}
		if got, err := s.report(t.Context()); err != nil || got.Fine() || !harm.shows(got) {
			t.Errorf("%s: %v, %+v", harm.statement, err, got)
		}
	}
}

// Modules are added, and so started, in any order. One that begins to order and to publish when it starts is missed by nobody.
func TestModulesStartInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, run := range []struct {
		name  string
		place func(t *testing.T) place
		turns int
	}{
		{"memory", memoryPlace, 5},
		{"embedded", embeddedPlace, 2},
		{"nats", func(t *testing.T) place { t.Helper(); return place{testenv.NATS(t), trial.SQLite(t, "delivery.db")} }, 1},
	} {
		if testenv.Soak() {
			run.turns = 6 // then it begins anew
		}
		for turn := range run.turns {
			t.Run(fmt.Sprint(run.name, turn), func(t *testing.T) {
				t.Parallel()
				testOrder(t, run.place(t), turn)
			})
		}
	}
}

// testOrder adds the module that orders and the five others, beginning with another one each turn, forwards or backwards.
func testOrder(t *testing.T, p place, turn int) {
	t.Helper()
	cfg := open(t, p)
	if err := makeTables(t.Context(), cfg.DB); err != nil {
		t.Fatal(err)
	}
	app := newApp(cfg)
	const orders = 3
	add := append(modules(cfg), func(app *tidings.App) {
		m := app.AddModule("importer", "order")
		m.OnStart(func(ctx context.Context) error {
			for n := range orders {
				id := fmt.Sprint("imported-", n)
				_, err := order.CreateOrder.Call(ctx, m, order.Create{OrderID: id, Amount: 1, CustomerID: "ada", Currency: "EUR", Items: []string{"cup"}})
				if err == nil {
					_, err = order.MoveParcel.Call(ctx, m, order.Move{OrderID: id, Place: "Hamburg", Depot: true})
				}
				if err == nil {
					_, err = order.MoveParcel.Call(ctx, m, order.Move{OrderID: id, Place: "A7"})
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	for i := range add {
		if turn%2 == 1 {
			i = len(add) - 1 - i
		}
		add[(i+turn)%len(add)](app)
	}
	s := &system{config: cfg, app: app, web: addWeb(app, cfg)}
	trial.Run(t, s.during)
	testenv.Eventually(t, 30*time.Second, func() error {
		var err error
		heard := trial.Ask(t, s.app, notification.LatestNotices, notification.Latest{})
		different := map[string]bool{}
		for _, n := range heard.Latest {
			different[n.Event+string(n.Data)] = true
		}
		if len(different) != 3*orders {
			err = fmt.Errorf("notices %v", different)
		}
		if entries := trial.Ask(t, s.app, audit.LatestEntries, audit.Latest{}); len(entries) != orders {
			err = errors.Join(err, fmt.Errorf("audit entries %v", entries))
		}
		for n := range orders {
			j, failed := tracking.TrackOrder.Call(t.Context(), app, tracking.Track{OrderID: fmt.Sprint("imported-", n)})
			if failed == nil && (len(j.Steps) != 1 || j.Place != "Hamburg") {
				failed = fmt.Errorf("journey %+v", j)
			}
			err = errors.Join(err, failed)
		}
		return err
	})
}

// Orders of v1, of before there was a v2, are tracked, audited and told of like the others. One that can't be is a dead letter.
func TestOldMessagesAreHandled(t *testing.T) {
	t.Parallel()
	s := start(t, memoryPlace(t), func(s *system) {
		past := s.app.AddModule("past", "order")
		past.Emits(order.OrderCreatedV1)
		past.OnStart(func(ctx context.Context) error {
			return past.Direct().Publish(ctx,
				order.OrderCreatedV1.New(order.CreatedV1{OrderID: "old", Amount: 995}),
				order.OrderCreatedV1.New(order.CreatedV1{OrderID: "free", Amount: 0}))
		})
	})
	testenv.Eventually(t, 30*time.Second, func() error {
		j, err := tracking.TrackOrder.Call(t.Context(), s.app, tracking.Track{OrderID: "old"})
		if err == nil && (len(j.Steps) != 1 || j.Steps[0] != "ordered 0 items for 9.95 EUR") {
			t.Errorf("tracked %+v", j)
		}
		if heard := trial.Ask(t, s.app, notification.LatestNotices, notification.Latest{}); heard.Count != 2 || heard.Latest[0].Event != "order.OrderCreated.v1" {
			err = errors.Join(err, fmt.Errorf("heard %+v", heard))
		}
		r, failed := s.report(t.Context())
		if failed == nil && (r.Entries != 1 || r.DeadLetters != 1) {
			failed = fmt.Errorf("%+v", r)
		}
		return errors.Join(err, failed)
	})
}

// While the ledger is closed, orders wait for it, and nothing else does.
func TestOrdersWaitForTheLedger(t *testing.T) {
	t.Parallel()
	s := start(t, memoryPlace(t), nil)
	trial.Ask(t, s.app, audit.CloseLedger, audit.Close{Closed: true})
	for n := range 10 { // a full batch, so that it is tried at once
		c := order.Create{OrderID: fmt.Sprint("o-", n), Amount: 5, CustomerID: "ada", Currency: "EUR", Items: []string{"cup"}}
		if n == 0 {
			c.Amount = 2_000_000_00
		}
		trial.Ask(t, s.app, order.CreateOrder, c)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		stats := s.app.Stats()[0] // those of the audit
		r, err := s.report(t.Context())
		if err == nil && (r.Steps != 10 || r.Entries != 0 || stats.Failed < 10) {
			err = fmt.Errorf("%+v, %+v", r, stats)
		}
		return err
	})
	trial.Ask(t, s.app, audit.CloseLedger, audit.Close{Closed: false})
	testenv.Eventually(t, 30*time.Second, func() error { // nine are entered, and the one over too much is refused
		r, err := s.report(t.Context())
		if err == nil && (r.Entries != 9 || r.DeadLetters != 1) {
			err = fmt.Errorf("%+v", r)
		}
		return err
	})
}

// Modules, events, requests, topics, scopes and keys are as in testdata/topology-delivery.json.
func TestTopology(t *testing.T) {
	cfg := open(t, memoryPlace(t))
	cfg.Env = "dev"
	s, err := newSystem(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	tidingstest.Topology(t, s.app)
}
