package reader_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/examples/shop/reader"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

// start runs a reader, with a directory of the test's own or, if that is nil, its tables.
func start(t *testing.T, d reader.Directory) (*tidings.App, *sqlite.Store) {
	t.Helper()
	s := trial.Store(t, reader.Schema)
	b := memory.New(memory.Config{})
	app := tidings.New(tidings.Config{Service: "reader", Broker: b, Store: s, Topology: tidings.Fixed{}, Log: slog.New(slog.DiscardHandler)})
	reader.Add(app, reader.Config{Customers: customer.Topic, Products: product.Topic, Directory: d, DB: s.DB()})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	<-app.Ready()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, b.Close()); err != nil {
			t.Error(err)
		}
	})
	return app, s
}

// services publishes as the other services do.
func services(t *testing.T, reader *tidings.App) tidings.Publisher {
	t.Helper()
	app := tidings.New(tidings.Config{Service: "others", Owns: []string{customer.Domain, product.Domain}, Broker: reader.Broker(), Topology: tidings.Fixed{}})
	app.Emits(customer.CustomerCreated, customer.CustomerUpdated, customer.CustomerDeleted, product.ProductCreated, product.ProductViewed)
	return app.Direct()
}

// put publishes a record as it is.
func put(t *testing.T, app *tidings.App, r broker.Record) {
	t.Helper()
	done := make(chan error, 1)
	app.Broker().Publish(t.Context(), []broker.Record{r}, func(_ int, _ broker.Receipt, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// record is an event of customers, on the wire.
func record(typ, key, data string) broker.Record {
	return broker.Record{Topic: customer.Topic, Key: key, Value: []byte(data), Headers: []broker.Header{
		{Name: "ce-specversion", Value: "1.0"},
		{Name: "ce-id", Value: uuid.NewString()},
		{Name: "ce-source", Value: "/somebody"},
		{Name: "ce-type", Value: typ},
		{Name: "content-type", Value: "application/json"},
	}}
}

// settled waits until the reader has nothing left, and returns the reasons of its dead letters.
func settled(t *testing.T, app *tidings.App, s *sqlite.Store) (dead []string) {
	t.Helper()
	testenv.Eventually(t, 30*time.Second, func() error {
		states, err := app.Topics(t.Context())
		for _, state := range states {
			for group, lag := range state.Lag {
				if lag > 0 {
					err = errors.Join(err, fmt.Errorf("%s has %d messages of %s left", group, lag, state.Name))
				}
			}
		}
		return err
	})
	for row, err := range s.List(t.Context(), store.Filter{States: []store.State{store.Dead}}) {
		if err != nil {
			t.Fatal(err)
		}
		dead = append(dead, string(row.History))
	}
	return dead
}

// What is wrong is acknowledged and kept with the reason, and what comes after it on the same key is handled.
func TestWhatIsWrongIsADeadLetter(t *testing.T) {
	t.Parallel()
	app, s := start(t, nil)
	id := uuid.New()
	good := fmt.Sprintf(`{"customer_id":%q,"revision":2,"name":"Ada","email":"ada@example.com"}`, id)
	wrong := []struct {
		record broker.Record
		reason string
	}{
		{record("product.created", id.String(), good), "not an event of this contract"},
		{record("customer.merged", id.String(), good), "not an event of this contract"},
		{record("customer.updated", id.String(), `{"customer_id":`), "decode customer.updated"},
		{record("customer.updated", id.String(), `{"customer_id":"nobody"}`), "decode customer.updated"},
		{record("customer.updated", id.String(), strings.Replace(good, "Ada", "", 1)), "name: want one"},
		{record("customer.updated", id.String(), strings.Replace(good, `"revision":2`, `"revision":1`, 1)), "revision: want 2 or more"},
		{broker.Record{Topic: customer.Topic, Key: id.String(), Value: []byte("hello")}, "not a CloudEvent"},
	}
	for _, w := range wrong {
		put(t, app, w.record)
	}
	put(t, app, record("customer.updated", id.String(), good))
	dead := settled(t, app, s)
	if len(dead) != len(wrong) {
		t.Errorf("%d dead letters: %s", len(dead), strings.Join(dead, "\n"))
	}
	for i := range min(len(dead), len(wrong)) {
		if !strings.Contains(dead[i], wrong[i].reason) {
			t.Errorf("dead letter %d says %s, and nothing of %q", i, dead[i], wrong[i].reason)
		}
	}
	if e, err := reader.FindEntry.Call(t.Context(), app, reader.Find{ID: id}); err != nil || e.Name != "Ada" || len(e.Steps) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
}

// While what a handler needs is away, its message is tried again, and what comes after it waits.
func TestWhatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	n := &notebook{away: 3}
	app, s := start(t, n)
	c := customer.Customer{CustomerID: uuid.New(), Details: customer.Details{Name: "Ada", Email: "ada@example.com"}, Revision: 2}
	if err := services(t, app).Publish(t.Context(), customer.NewCreated(c), customer.NewUpdated(c)); err != nil {
		t.Fatal(err)
	}
	if dead := settled(t, app, s); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
	notes := n.all()
	if len(notes) != 2 || !strings.HasPrefix(notes[0], "customer.created") || app.Stats()[0].Failed != 3 {
		t.Errorf("%v, %+v", notes, app.Stats()[0])
	}
}

func TestTheDirectory(t *testing.T) {
	t.Parallel()
	app, s := start(t, nil)
	c := customer.Customer{CustomerID: uuid.New(), Details: customer.Details{Name: "Ada", Email: "ada@example.com"}, Revision: 1}
	p := product.Product{ProductID: uuid.New(), Details: product.Details{Name: "Pot", Price: 4200}, Revision: 1}
	view, changed := product.ProductViewed.New(product.Viewed{ProductID: p.ProductID}), c
	changed.Name, changed.Revision = "Ada L.", 2
	gone := c
	gone.Revision = 3
	// A message that comes twice has one effect. A view may come before its product.
	if err := services(t, app).Publish(t.Context(), customer.NewCreated(c), customer.NewUpdated(changed), view, view, product.NewCreated(p), customer.NewDeleted(gone)); err != nil {
		t.Fatal(err)
	}
	if dead := settled(t, app, s); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
	for id, want := range map[uuid.UUID]string{
		c.CustomerID: `"" 0 [customer.created: ada@example.com is here, with 0 addresses customer.updated: is ada@example.com, with 0 addresses customer.deleted: is gone]`,
		p.ProductID:  `"Pot" 1 [product.created: is here, for 42.00]`,
	} {
		e, err := reader.FindEntry.Call(t.Context(), app, reader.Find{ID: id})
		if got := fmt.Sprintf("%q %d %v", e.Name, e.Views, e.Steps); err != nil || got != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
	if _, err := reader.FindEntry.Call(t.Context(), app, reader.Find{ID: uuid.New()}); tidings.CodeOf(err) != tidings.CodeNotFound {
		t.Errorf("nobody: %v", err)
	}
}
