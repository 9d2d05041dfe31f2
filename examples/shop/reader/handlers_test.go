package reader_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/examples/shop/reader"
	"github.com/tidings-go/tidings/store"
)

// notebook is a directory of a test's own. It is away for the next few calls.
type notebook struct {
	mu    sync.Mutex
	away  int
	notes []string
}

var errAway = errors.New("the directory is away")

func (n *notebook) Note(_ context.Context, _ *store.SQLTx, s reader.Step) error {
	return n.take(fmt.Sprintf("%s %d %q %s", s.Type, s.Revision, s.Name, s.Text))
}

func (n *notebook) CountView(context.Context, *store.SQLTx, uuid.UUID) error { return n.take("view") }

func (n *notebook) take(note string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away > 0 {
		n.away--
		return errAway
	}
	n.notes = append(n.notes, note)
	return nil
}

func (n *notebook) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.notes)
}

// Handlers are plain code: no broker, no database, no transaction.
func TestHandlers(t *testing.T) {
	t.Parallel()
	n := &notebook{}
	ctx, id := t.Context(), uuid.New()
	ada := customer.Details{Name: "Ada", Email: "ada@example.com", Addresses: []customer.Address{{Street: "Main Street 1", City: "Kiel"}}}
	pot := product.Details{Name: "Pot", Price: 4205}
	for i, test := range []struct {
		err  error
		want string
	}{
		{reader.CustomerCreated{n}.Handle(ctx, nil, customer.Created{CustomerID: id, Details: ada}), `customer.created 1 "Ada" ada@example.com is here, with 1 addresses`},
		{reader.CustomerUpdated{n}.Handle(ctx, nil, customer.Updated{CustomerID: id, Revision: 2, Details: ada}), `customer.updated 2 "Ada" is ada@example.com, with 1 addresses`},
		{reader.CustomerDeleted{n}.Handle(ctx, nil, customer.Deleted{CustomerID: id, Revision: 3}), `customer.deleted 3 "" is gone`},
		{reader.ProductCreated{n}.Handle(ctx, nil, product.Created{ProductID: id, Details: pot}), `product.created 1 "Pot" is here, for 42.05`},
		{reader.ProductUpdated{n}.Handle(ctx, nil, product.Updated{ProductID: id, Revision: 2, Details: pot}), `product.updated 2 "Pot" costs 42.05`},
		{reader.ProductDeleted{n}.Handle(ctx, nil, product.Deleted{ProductID: id, Revision: 3}), `product.deleted 3 "" is gone`},
		{reader.ProductViewed{n}.Handle(ctx, nil, product.Viewed{ProductID: id}), `view`},
	} {
		if test.err != nil || n.notes[i] != test.want {
			t.Errorf("got %q, %v, want %q", n.notes[i], test.err, test.want)
		}
	}
	n.away = 1
	if err := (reader.ProductViewed{n}).Handle(ctx, nil, product.Viewed{ProductID: id}); !errors.Is(err, errAway) {
		t.Errorf("the error did not come back: %v", err)
	}
}
