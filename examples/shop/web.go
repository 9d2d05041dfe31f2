package main

import (
	"context"
	_ "embed" // for the API's description
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tidings-go/tidings/examples/internal/program"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/examples/shop/reader"
	"github.com/tidings-go/tidings/httpapi"
)

//go:embed openapi.json
var openAPI []byte

// newWeb answers HTTP requests for the services that run in this process.
func newWeb(s *shop) *program.Server {
	api := program.API{Description: openAPI, Healthy: s.healthy, Here: fmt.Sprintf(" in the process of %v", s.Roles), Log: s.Log}
	mux := api.Mux(s.requests())
	mux.HandleFunc("GET /services", s.describe)
	return program.NewServer(s.Addr, mux, s.Log)
}

// requests are the paths at which requests can be posted.
func (s *shop) requests() map[string]http.Handler {
	c := httpapi.Config{Log: s.Log}
	paths := map[string]http.Handler{}
	if have := s.service(customers); have != nil {
		paths["/customers"] = httpapi.Handler(have.app, customer.CreateCustomer, c)
		paths["/customers/update"] = httpapi.Handler(have.app, customer.UpdateCustomer, c)
		paths["/customers/delete"] = httpapi.Handler(have.app, customer.DeleteCustomer, c)
		paths["/customers/find"] = httpapi.Handler(have.app, customer.FindCustomer, c)
		paths["/customers/publish"] = httpapi.Handler(have.app, publishRaw, c)
	}
	if have := s.service(products); have != nil {
		paths["/products"] = httpapi.Handler(have.app, product.CreateProduct, c)
		paths["/products/update"] = httpapi.Handler(have.app, product.UpdateProduct, c)
		paths["/products/delete"] = httpapi.Handler(have.app, product.DeleteProduct, c)
		paths["/products/find"] = httpapi.Handler(have.app, product.FindProduct, c)
		paths["/products/view"] = httpapi.Handler(have.app, product.ViewProduct, c)
		paths["/products/publish"] = httpapi.Handler(have.app, publishRaw, c)
	}
	if have := s.service(readers); have != nil {
		paths["/reader/find"] = httpapi.Handler(have.app, reader.FindEntry, c)
	}
	return paths
}

// healthy is so when the databases answer.
func (s *shop) healthy(ctx context.Context) error {
	for _, have := range s.services {
		if err := have.DB.PingContext(ctx); err != nil {
			return fmt.Errorf("service %s: %w", have.app.Name(), err)
		}
	}
	return nil
}

// describe says what runs here, which topics each service writes to, and which it reads.
func (s *shop) describe(rw http.ResponseWriter, _ *http.Request) {
	type described struct {
		Service string   `json:"service"`
		Writes  []string `json:"writes,omitempty"`
		Reads   []string `json:"reads,omitempty"`
	}
	var list []described
	for _, have := range s.services {
		writes, reads := topicsOf(have.app)
		list = append(list, described{have.app.Name(), writes, reads})
	}
	data, err := json.Marshal(list)
	if err != nil { // strings always can
		data = nil
	}
	program.WriteJSON(rw, append(data, '\n'))
}
