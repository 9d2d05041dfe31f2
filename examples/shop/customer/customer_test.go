package customer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/shop/contract"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

// recorder is a publisher of a test's own.
type recorder struct{ messages []tidings.Message }

func (r *recorder) Publish(_ context.Context, messages ...tidings.Message) error {
	r.messages = append(r.messages, messages...)
	return nil
}

// newApp is a customer service on a database of its own, which does not run: what is published stays in the outbox.
func newApp(t *testing.T) (*tidings.App, *sqlite.Store) {
	t.Helper()
	s := trial.Store(t, customer.Schema)
	app := tidings.New(tidings.Config{Service: "customers", Owns: []string{customer.Domain}, Broker: memory.New(memory.Config{}), Store: s, Topology: tidings.Fixed{}})
	customer.Add(app, s.DB())
	return app, s
}

func ada(t *testing.T) customer.Customer {
	t.Helper()
	c, err := customer.New(uuid.Nil, customer.Details{Name: "Ada", Email: "ada@example.com", Addresses: []customer.Address{{Street: "Main Street 1", City: "Kiel"}, {Street: "Am Markt 2", City: "Bonn"}}})
	if err != nil || c.CustomerID == uuid.Nil || c.Revision != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	return c
}

// rows are how many customers, addresses and events the database has.
func rows(t *testing.T, s *sqlite.Store) string {
	t.Helper()
	var customers, addresses int
	err := s.DB().QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM addresses)`).Scan(&customers, &addresses)
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	for _, err := range s.List(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		events++
	}
	return fmt.Sprintf("%d customers, %d addresses, %d events", customers, addresses, events)
}

func TestCustomerAddressesAndEventAreOneTransaction(t *testing.T) {
	t.Parallel()
	app, s := newApp(t)
	r := customer.Repository{Events: func(tx *store.SQLTx) tidings.Publisher { return app.Outbox(tx) }}
	c := ada(t)
	no := errors.New("no")
	insert := func(then error) error {
		return tidings.InTx(t.Context(), app, func(ctx context.Context, tx *store.SQLTx) error { return errors.Join(r.Insert(ctx, tx, c), then) })
	}
	if err := insert(no); !errors.Is(err, no) || rows(t, s) != "0 customers, 0 addresses, 0 events" {
		t.Errorf("rolled back: %v, %s", err, rows(t, s))
	}
	if err := insert(nil); err != nil || rows(t, s) != "1 customers, 2 addresses, 1 events" {
		t.Errorf("committed: %v, %s", err, rows(t, s))
	}
	if err := insert(nil); tidings.CodeOf(err) != tidings.CodeConflict || rows(t, s) != "1 customers, 2 addresses, 1 events" {
		t.Errorf("inserted twice: %v, %s", err, rows(t, s))
	}
	// What goes wrong last takes everything before with it.
	r.Events = func(*store.SQLTx) tidings.Publisher { return failing{} }
	c = ada(t)
	if err := insert(nil); !errors.Is(err, errOutbox) || rows(t, s) != "1 customers, 2 addresses, 1 events" {
		t.Errorf("with an outbox that fails: %v, %s", err, rows(t, s))
	}
}

type failing struct{}

var errOutbox = errors.New("the outbox is full")

func (failing) Publish(context.Context, ...tidings.Message) error { return errOutbox }

func TestWithoutATransactionNothingIsWritten(t *testing.T) {
	t.Parallel()
	app, s := newApp(t)
	published := &recorder{}
	r := customer.Repository{Events: func(*store.SQLTx) tidings.Publisher { return published }}
	c := ada(t)
	var ended *store.SQLTx
	if err := tidings.InTx(t.Context(), app, func(_ context.Context, tx *store.SQLTx) error { ended = tx; return nil }); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, update := r.Update(ctx, nil, c.CustomerID, c.Details)
	_, remove := r.Delete(ctx, nil, c.CustomerID)
	for _, err := range []error{r.Insert(ctx, nil, c), update, remove} {
		if !errors.Is(err, tidings.ErrTxDone) {
			t.Errorf("a nil transaction: %v", err)
		}
	}
	if err := r.Insert(ctx, ended, c); err == nil {
		t.Error("a transaction that has ended was taken")
	}
	if got := rows(t, s); got != "0 customers, 0 addresses, 0 events" || len(published.messages) > 0 {
		t.Errorf("%s, %v", got, published.messages)
	}
}

// The repository with a publisher of the test's own: each change publishes one event, keyed by the customer's id, with the customer's next revision.
func TestALifeOfACustomer(t *testing.T) {
	t.Parallel()
	app, _ := newApp(t)
	published := &recorder{}
	r := customer.Repository{Events: func(*store.SQLTx) tidings.Publisher { return published }}
	c := ada(t)
	err := tidings.InTx(t.Context(), app, func(ctx context.Context, tx *store.SQLTx) error {
		err := r.Insert(ctx, tx, c)
		if err == nil {
			c, err = r.Update(ctx, tx, c.CustomerID, customer.Details{Name: "Ada L.", Email: "ada@example.org"})
		}
		if err == nil {
			c, err = r.Delete(ctx, tx, c.CustomerID)
		}
		return err
	})
	if err != nil || c.Revision != 3 || !c.Deleted || c.Name != "" {
		t.Errorf("%+v, %v", c, err)
	}
	var types []string
	ids := map[string]bool{}
	for i, m := range published.messages {
		types = append(types, m.Type)
		ids[m.ID] = true
		if _, err := uuid.Parse(m.ID); err != nil || m.Key != c.CustomerID.String() {
			t.Errorf("id %s, key %s: %v", m.ID, m.Key, err)
		}
		if payload, err := customer.Decode(m); err != nil || i == 1 && payload.(customer.Updated).Name != "Ada L." {
			t.Errorf("%s: %+v, %v", m.Type, payload, err)
		}
	}
	if !slices.Equal(types, []string{"customer.created", "customer.updated", "customer.deleted"}) || len(ids) != 3 {
		t.Errorf("published %v with %d ids", types, len(ids))
	}
	for what, change := range map[string]func(ctx context.Context, tx *store.SQLTx) error{
		"update": func(ctx context.Context, tx *store.SQLTx) error {
			_, err := r.Update(ctx, tx, c.CustomerID, ada(t).Details)
			return err
		},
		"delete": func(ctx context.Context, tx *store.SQLTx) error {
			_, err := r.Delete(ctx, tx, c.CustomerID)
			return err
		},
	} {
		if err := tidings.InTx(t.Context(), app, change); tidings.CodeOf(err) != tidings.CodeNotFound {
			t.Errorf("%s of a customer who is gone: %v", what, err)
		}
	}
}

// foreign is an event of somebody else, on the same topic.
var foreign = tidings.Define[customer.Created]("billing", "AccountCreated", "v1", tidings.Topic(customer.Topic), tidings.WireType("account.created"))

func TestTheContractsDecoderRefuses(t *testing.T) {
	t.Parallel()
	c := ada(t)
	good := customer.NewCreated(c)
	with := func(change func(m *tidings.Message)) tidings.Message {
		m := good
		change(&m)
		return m
	}
	for _, test := range []struct {
		m    tidings.Message
		want string
	}{
		{foreign.New(customer.Created{CustomerID: c.CustomerID, Details: c.Details}), `not an event of this contract: type "account.created"`},
		{with(func(m *tidings.Message) { m.Type = "customer.Created" }), "not an event of this contract"},
		{with(func(m *tidings.Message) { m.Type = "" }), "not an event of this contract"},
		{with(func(m *tidings.Message) { m.Data = []byte(`{"customer_id":`) }), "decode customer.created"},
		{with(func(m *tidings.Message) { m.Data = []byte(`{"customer_id":"nobody"}`) }), "decode customer.created"},
		{with(func(m *tidings.Message) { m.Data = []byte(`{}`) }), "name: want one"},
		{with(func(m *tidings.Message) { m.ContentType = "text/plain" }), "text/plain"},
		{customer.NewUpdated(c), "revision: want 2 or more"},
		{customer.NewDeleted(c), "revision: want 2 or more"},
	} {
		if payload, err := customer.Decode(test.m); err == nil || payload != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: %v, %v: want %s", test.m.Type, test.m.Data, payload, err, test.want)
		}
	}
	if payload, err := customer.Decode(good); err != nil || payload.(customer.Created).CustomerID != c.CustomerID {
		t.Errorf("%v, %v", payload, err)
	}
	if _, err := customer.Decode(foreign.New(customer.Created{CustomerID: c.CustomerID})); !errors.Is(err, contract.ErrForeign) {
		t.Errorf("a foreign type: %v", err)
	}
}

// Whatever comes is either refused or an event that could be published as it is.
func FuzzDecode(f *testing.F) {
	for _, typ := range []customer.Type{customer.TypeCreated, customer.TypeUpdated, customer.TypeDeleted, "product.created", ""} {
		f.Add(string(typ), []byte(`{"customer_id":"0a000000-0000-4000-8000-000000000001","revision":2,"name":"Ada","email":"a@b","addresses":[{"street":"s","city":"c"}]}`))
		f.Add(string(typ), []byte(`{"customer_id":7}`))
	}
	f.Fuzz(func(t *testing.T, typ string, data []byte) {
		payload, err := customer.Decode(tidings.Message{Type: typ, ContentType: "application/json", Data: data})
		if err != nil {
			if payload != nil {
				t.Errorf("%v with %v", payload, err)
			}
			return
		}
		again, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = customer.Decode(tidings.Message{Type: typ, ContentType: "application/json", Data: again}); err != nil {
			t.Errorf("%s was read, and not %s: %v", data, again, err)
		}
	})
}
