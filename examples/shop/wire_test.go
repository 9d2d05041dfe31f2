package main

import (
	"testing"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
)

// Topics, keys, attributes and payloads are as in testdata/wire.golden: seen by a client that knows nothing of tidings.
func TestWire(t *testing.T) {
	t.Parallel()
	s := start(t, realPlace(t))
	w := trial.Kafka(t, s.Prefix+customer.Topic, s.Prefix+product.Topic)
	ada := customer.Create{CustomerID: uuid.MustParse("0a000000-0000-4000-8000-000000000001"), Details: customer.Details{
		Name: "Ada", Email: "ada@example.com", Addresses: []customer.Address{{Street: "Main Street 1", City: "Kiel"}},
	}}
	pot := product.Create{ProductID: uuid.MustParse("0b000000-0000-4000-8000-000000000001"), Details: product.Details{Name: "Teapot", Price: 4200}}
	cs, ps := s.service(customers).app, s.service(products).app
	// One by one, so that they come in this order.
	trial.Ask(t, cs, customer.CreateCustomer, ada)
	w.Await(t, 1)
	trial.Ask(t, cs, customer.UpdateCustomer, customer.Update(ada))
	w.Await(t, 2)
	trial.Ask(t, cs, customer.DeleteCustomer, customer.Delete{CustomerID: ada.CustomerID})
	w.Await(t, 3)
	trial.Ask(t, ps, product.CreateProduct, pot)
	w.Await(t, 4)
	trial.Ask(t, ps, product.ViewProduct, product.View{ProductID: pot.ProductID})
	w.Await(t, 5)
	trial.Ask(t, ps, product.UpdateProduct, product.Update(pot))
	w.Await(t, 6)
	trial.Ask(t, ps, publishRaw, rawEvent{Topic: s.Prefix + product.Topic, Type: string(product.TypeViewed), Key: "by hand", Data: []byte(`{"product_id":"nothing"}`)})
	w.Await(t, 7)
	trial.Ask(t, ps, product.DeleteProduct, product.Delete{ProductID: pot.ProductID})
	trial.Golden(t, w.Await(t, 8), s.Prefix, "")
}
