package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
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

// realPlace is what the system is made for.
func realPlace(t *testing.T) place {
	t.Helper()
	return place{testenv.Kafka(t) + "?session_timeout=6s&partitions=3", trial.Postgres(t, "cashiers")}
}

func memoryPlace(t *testing.T) place {
	t.Helper()
	return place{"memory:", trial.SQLite(t, "cashiers.db")}
}

// open opens what a system needs.
func open(t *testing.T, p place) config {
	t.Helper()
	return config{Connection: trial.Open(t, p.broker, p.store), Env: trial.Name("t"), Role: all, Addr: "127.0.0.1:0", Log: trial.Log(t)}
}

// start runs a system until the test ends.
func start(t *testing.T, cfg config) *system {
	t.Helper()
	s, err := newSystem(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	trial.Run(t, s.during)
	return s
}

// awaitReport waits until a report is as wanted.
func awaitReport(t *testing.T, s *system, want func(r summary) bool) {
	t.Helper()
	testenv.Eventually(t, time.Minute, func() error {
		r, err := s.report(t.Context(), nil)
		if err == nil && !want(r) {
			err = fmt.Errorf("%+v", r)
		}
		return err
	})
}

// stats are the counters of a subscription.
func stats(app *tidings.App, name string) tidings.SubscriptionStats {
	for _, s := range app.Stats() {
		if s.Subscription == name {
			return s
		}
	}
	return tidings.SubscriptionStats{}
}

func TestLoadEmbedded(t *testing.T) {
	t.Parallel()
	testLoad(t, embeddedPlace(t))
}

func TestLoadOnKafkaAndPostgreSQL(t *testing.T) {
	t.Parallel()
	testLoad(t, realPlace(t))
}

// testLoad gives commands, and then breaks the database to see that the summary tells.
func testLoad(t *testing.T, p place) {
	t.Helper()
	s := start(t, open(t, p))
	commands := 300
	if testenv.Soak() {
		commands = 10_000
	}
	var out bytes.Buffer
	if err := s.loadAndReport(t.Context(), options{Flags: program.Flags{Load: commands, Output: "json"}}, &out); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	var r summary
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || !r.Fine() || r.Commands != commands || r.Mails < commands || r.Settlements == 0 || r.Reservations == 0 ||
		r.Lines != int(r.Entries) || r.Tenants != 17 || r.PerSecond == 0 {
		t.Errorf("%v: %s", err, &out)
	}
	for _, harm := range []struct {
		statement string
		shows     func(s summary) bool
	}{
		{`UPDATE statement_lines SET line = 1000 - line`, func(s summary) bool { return s.OutOfOrder > 0 && s.Lost == 0 && s.Duplicate == 0 }},
		{`INSERT INTO payments SELECT * FROM payments`, func(s summary) bool { return s.Duplicate == r.Settlements && s.Lost == 0 }},
		{`INSERT INTO reservations SELECT * FROM reservations`, func(s summary) bool { return s.Duplicate == r.Settlements+r.Reservations && s.Lost == 0 }},
		{`DELETE FROM mails`, func(s summary) bool { return s.Lost == r.Mails }},
		{`DELETE FROM settlements`, func(s summary) bool { return s.Lost == r.Mails+r.Settlements }},
		{`DELETE FROM users`, func(s summary) bool { return s.Duplicate > r.Settlements+r.Reservations }},
	} {
		if _, err := s.DB.ExecContext(t.Context(), harm.statement); err != nil {
			t.Fatal(err)
		}
		if got, err := s.report(t.Context(), nil); err != nil || got.Fine() || !harm.shows(got) {
			t.Errorf("%s: %v, %+v", harm.statement, err, got)
		}
	}
	// Commands that were accepted and are not there, or are there and were not.
	l := newLoad(nil, 0)
	l.accepted[fact{"appdomain.CashierCreated.v1", l.tenants + "1", "ada"}] = true
	before, err := s.report(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.report(t.Context(), l); err != nil || got.Lost != before.Lost+1 {
		t.Errorf("a lost command: %v, %+v", err, got)
	}
	if err := s.loadAndReport(t.Context(), options{Flags: program.Flags{Load: 1, Output: "text"}}, &out); !errors.Is(err, program.ErrWrong) || !strings.Contains(out.String(), "duplicate") {
		t.Errorf("a load that finds something wrong: %v", err)
	}
	l.tenants = "load-"
	if got, err := s.report(t.Context(), l); err != nil || got.Duplicate <= before.Duplicate {
		t.Errorf("commands that nobody gave: %v, %+v", err, got)
	}
}

// Of what there is too little of nothing is reserved. That is a result: it is not tried again, and no dead letter.
func TestTooLittleInventoryIsAResult(t *testing.T) {
	t.Parallel()
	s := start(t, open(t, memoryPlace(t)))
	trial.Ask(t, s.cashiers, invoicing.Restock, invoicing.Delivery{SKU: "tea", Quantity: 10})
	for _, quantity := range []int64{7, 7, 3, 1} {
		trial.Ask(t, s.cashiers, invoicing.CreateInvoice, invoicing.NewInvoice{TenantID: "acme", SKU: "tea", Quantity: quantity, Amount: 1})
	}
	awaitReport(t, s, func(r summary) bool { return r.Lines == 4 && r.Reservations == 2 && r.DeadLetters == 0 })
	testenv.Eventually(t, 20*time.Second, func() error {
		if got := stats(s.cashiers, "inventory"); got.Handled != 2 || got.Discarded != 2 || got.Failed > 2 || got.Dead != 0 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// Users of before there was a v2 are welcomed by the handler for v1; of those that come in both versions only the newer is handled.
func TestEachVersionHasItsHandler(t *testing.T) {
	t.Parallel()
	cfg := open(t, memoryPlace(t))
	var box mailbox
	cfg.Mailer = box.take
	s, err := newSystem(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	past := s.cashiers.AddModule("past")
	past.Emits(appdomain.UserCreatedV1)
	past.OnStart(func(ctx context.Context) error {
		return appdomain.UserCreatedV1.Publish(ctx, past.Direct(), appdomain.UserV1{TenantID: "acme", UserID: "al", Name: "Al", Email: "al@acme.example"})
	})
	trial.Run(t, s.during)
	trial.Ask(t, s.cashiers, appdomain.CreateUser, appdomain.NewUser{TenantID: "acme", UserID: "bo", Name: "Bo", Email: "bo@acme.example"})
	testenv.Eventually(t, 20*time.Second, func() error {
		return box.has("Welcome, Al: You are a user of acme.", "Welcome, Bo: You are a user of acme since ")
	})
}

// The services are as in testdata: modules, events, subscriptions, requests, topics, scopes and keys.
func TestTopology(t *testing.T) {
	cfg := open(t, memoryPlace(t))
	cfg.Env = "dev"
	s, err := newSystem(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	tidingstest.Topology(t, s.cashiers)
	tidingstest.Topology(t, s.notifications)
}

// Another service may not read what is internal.
func TestPaymentReconciledIsNobodyElsesBusiness(t *testing.T) {
	s, err := newSystem(t.Context(), open(t, memoryPlace(t)))
	if err != nil {
		t.Fatal(err)
	}
	s.notifications.Subscribe(tidings.Subscription{Name: "spy"}, tidings.On(invoicing.PaymentReconciled, func(context.Context, invoicing.Reconciled) error { return nil }))
	if err = s.notifications.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "internal") {
		t.Errorf("got %v", err)
	}
}
