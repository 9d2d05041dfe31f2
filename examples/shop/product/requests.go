package product

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/shop/contract"
)

// Domain owns requests and events of products.
const Domain = "product"

// What can be asked of the service.
var (
	CreateProduct = tidings.DefineRequest[Create, Product](Domain, "CreateProduct", "v1")
	UpdateProduct = tidings.DefineRequest[Update, Product](Domain, "UpdateProduct", "v1")
	DeleteProduct = tidings.DefineRequest[Delete, Product](Domain, "DeleteProduct", "v1")
	FindProduct   = tidings.DefineRequest[Find, Product](Domain, "FindProduct", "v1")
	ViewProduct   = tidings.DefineRequest[View, contract.Stored](Domain, "ViewProduct", "v1")
)

// Product is a product as it is now.
type Product struct {
	ProductID uuid.UUID `json:"product_id"`
	Details
	// Revision counts what has happened to the product, from 1.
	Revision int64 `json:"revision"`
	Deleted  bool  `json:"deleted,omitempty"`
}

// Details are what is told about a product. Events carry them too, so they change as a contract does: by adding what readers may ignore.
type Details struct {
	Name string `json:"name"`
	// Price is in cents.
	Price int64 `json:"price"`
}

// Validate names all that is wrong.
func (d Details) Validate() error {
	var wrong []error
	if strings.TrimSpace(d.Name) == "" {
		wrong = append(wrong, errors.New("name: want one"))
	}
	if d.Price < 1 {
		wrong = append(wrong, fmt.Errorf("price: want cents, 1 or more, not %d", d.Price))
	}
	return errors.Join(wrong...)
}

// Create makes a product. Without an id it gets a new one.
type Create struct {
	ProductID uuid.UUID `json:"product_id"`
	Details
}

// Update replaces a product's details.
type Update struct {
	ProductID uuid.UUID `json:"product_id"`
	Details
}

// Delete deletes a product.
type Delete struct {
	ProductID uuid.UUID `json:"product_id"`
}

// Find asks for a product.
type Find struct {
	ProductID uuid.UUID `json:"product_id"`
}

// View says that somebody looks at a product.
type View struct {
	ProductID uuid.UUID `json:"product_id"`
}
