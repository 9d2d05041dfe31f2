package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings/examples/internal/program"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/examples/shop/reader"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/tidingstest"
)

// place is where a shop runs.
type place struct{ broker, store string }

func embeddedPlace(t *testing.T) place {
	t.Helper()
	return place{trial.Embedded(t), trial.SQLite(t, placeholder+".db")}
}

func memoryPlace(t *testing.T) place {
	t.Helper()
	return place{"memory:", trial.SQLite(t, placeholder+".db")}
}

// realPlace is Kafka and PostgreSQL, where who is killed is missed soon, and many processes have few connections each.
func realPlace(t *testing.T) place {
	t.Helper()
	return place{testenv.Kafka(t) + "?partitions=4&session_timeout=3s", trial.Postgres(t, "shop") + "&lease=2s&pool_max_conns=6&schema={service}&search_path={service}"}
}

// newPrefix begins names of the test's own, so that tests can share a broker.
func newPrefix() string { return trial.Name("shop-") + "-" }

// open makes a shop with all services, to be looked at or started.
func open(t *testing.T, p place, prefix string) *shop {
	t.Helper()
	s, err := newShop(t.Context(), config{
		Broker: p.broker, Store: p.store, Roles: []string{customers, products, readers}, Prefix: prefix, Addr: "127.0.0.1:0", Log: trial.Log(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if bad := s.close(); bad != nil {
			t.Error(bad)
		}
	})
	return s
}

// start runs a shop until the test ends.
func start(t *testing.T, p place) *shop {
	t.Helper()
	s := open(t, p, newPrefix())
	trial.Run(t, s.during)
	return s
}

func TestLoadEmbedded(t *testing.T) {
	t.Parallel()
	testLoad(t, embeddedPlace(t))
}

func TestLoadOnNATSAndSQLite(t *testing.T) {
	t.Parallel()
	testLoad(t, place{testenv.NATS(t), trial.SQLite(t, placeholder+".db")})
}

func TestLoadOnKafkaAndPostgreSQL(t *testing.T) {
	t.Parallel()
	testLoad(t, realPlace(t))
}

// testLoad makes requests, and then breaks the databases to see that the summary tells.
func testLoad(t *testing.T, p place) {
	t.Helper()
	s := start(t, p)
	requests := 300
	if testenv.Soak() {
		requests = 20_000
	}
	var out bytes.Buffer
	if err := s.load(t.Context(), options{Flags: program.Flags{Load: requests, Output: "json"}}, &out); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	var r summary
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || !r.Fine() || r.Requests != requests || r.Customers < 32 || r.Events != int64(requests) || r.Steps+r.Views != r.Events {
		t.Errorf("%v: %s", err, &out)
	}
	none := newLoad("")
	for _, harm := range []struct {
		role, statement string
		shows           func(s summary) bool
	}{
		{readers, `UPDATE steps SET step = 10 - step`, func(s summary) bool { return s.OutOfOrder > 0 && s.Lost == 0 && s.Duplicate == 0 }},
		{readers, `INSERT INTO steps SELECT id, 20, revision, type, text FROM steps WHERE revision = 1`, func(s summary) bool { return s.Duplicate == int64(r.Customers+r.Products) && s.Lost == 0 }},
		{readers, `UPDATE views SET count = count + 1`, func(s summary) bool { return s.Duplicate > int64(r.Customers+r.Products) && s.Lost == 0 }},
		{readers, `UPDATE views SET count = count - 2`, func(s summary) bool { return s.Lost > 0 }},
		{readers, `DELETE FROM steps WHERE revision = 2`, func(s summary) bool { return s.Lost > int64(r.Products)/2 }},
		{customers, `UPDATE customers SET revision = revision + 1`, func(s summary) bool { return s.Lost >= 2*int64(r.Customers) }},
	} {
		if _, err := s.service(harm.role).DB.ExecContext(t.Context(), harm.statement); err != nil {
			t.Fatal(err)
		}
		if got, err := s.report(t.Context(), none); err != nil || got.Fine() || !harm.shows(got) {
			t.Errorf("%s: %v, %+v", harm.statement, err, got)
		}
	}
	// A client was told of a change that nobody knows of.
	none.changes[uuid.New()] = 3
	before, err := s.report(t.Context(), newLoad(""))
	if after, failed := s.report(t.Context(), none); errors.Join(err, failed) != nil || after.Lost != before.Lost+3 {
		t.Errorf("lost %d, then %d: %v, %v", before.Lost, after.Lost, err, failed)
	}
}

// The services' database is away for a while: requests fail, and are answered when they are sent again; events wait, and nothing becomes a dead letter.
func TestADatabaseThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	p := realPlace(t)
	s := start(t, p)
	u, err := url.Parse(p.store)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	pot := trial.Ask(t, s.service(products).app, product.CreateProduct, product.Create{Details: product.Details{Name: "Pot", Price: 5}})
	trial.OnPostgres(t, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false")
	trial.OnPostgres(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'")
	// The broker is there, so these come to the reader, which has no database.
	const views = 20
	for range views {
		if err = product.ProductViewed.Publish(t.Context(), s.service(products).app.Direct(), product.Viewed{ProductID: pot.ProductID}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = customer.CreateCustomer.Call(t.Context(), s.service(customers).app, customer.Create{Details: customer.Details{Name: "Ada", Email: "ada@example.com"}}); err == nil {
		t.Error("a customer was made without a database")
	}
	testenv.Eventually(t, 30*time.Second, func() error {
		for _, stats := range s.service(readers).app.Stats() {
			if stats.Subscription == "products" && stats.Retrying > 0 && stats.Dead == 0 {
				return nil
			}
		}
		return fmt.Errorf("nothing is tried again: %+v", s.service(readers).app.Stats())
	})
	trial.OnPostgres(t, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
	testenv.Eventually(t, 60*time.Second, func() error {
		e, err := reader.FindEntry.Call(t.Context(), s.service(readers).app, reader.Find{ID: pot.ProductID})
		if err == nil && (e.Views != views || len(e.Steps) != 1) {
			err = fmt.Errorf("%+v", e)
		}
		return err
	})
	testenv.Eventually(t, 60*time.Second, func() error { // a connection that was cut may still be in a pool
		r, err := s.reportAtRest(t.Context(), newLoad(""))
		if err == nil && (!r.Fine() || r.Views != views || r.Customers != 0) {
			t.Errorf("%+v", r)
		}
		return err
	})
}

// When one service can't run, the others end, and the error says why.
func TestAServiceThatFailsEndsTheProcess(t *testing.T) {
	t.Parallel()
	o := options{config: config{Broker: "memory:", Store: trial.SQLite(t, placeholder+".db"), Roles: []string{customers, "reader"}, Prefix: "wrong prefix ", Addr: "127.0.0.1:0"}}
	if err := run(t.Context(), o, io.Discard); err == nil || !strings.Contains(err.Error(), "want lower-case letters") {
		t.Errorf("it ended with %v", err)
	}
}

func TestServicesSayTheirTopics(t *testing.T) {
	t.Parallel()
	s := open(t, memoryPlace(t), "")
	for role, want := range map[string]string{
		customers: "[customer-events] []",
		products:  "[product-events] []",
		readers:   "[] [customer-events product-events]",
	} {
		writes, reads := topicsOf(s.service(role).app)
		if got := fmt.Sprint(writes, " ", reads); got != want {
			t.Errorf("%s: %s, want %s", role, got, want)
		}
	}
}

// Events, requests, topics, scopes and keys of each service are as in testdata/topology-SERVICE.json.
func TestTopology(t *testing.T) {
	s := open(t, memoryPlace(t), "")
	for _, have := range s.services {
		tidingstest.Topology(t, have.app)
	}
}
