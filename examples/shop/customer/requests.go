package customer

import (
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
)

// Domain owns requests and events of customers.
const Domain = "customer"

// What can be asked of the service.
var (
	CreateCustomer = tidings.DefineRequest[Create, Customer](Domain, "CreateCustomer", "v1")
	UpdateCustomer = tidings.DefineRequest[Update, Customer](Domain, "UpdateCustomer", "v1")
	DeleteCustomer = tidings.DefineRequest[Delete, Customer](Domain, "DeleteCustomer", "v1")
	FindCustomer   = tidings.DefineRequest[Find, Customer](Domain, "FindCustomer", "v1")
)

// Customer is a customer as it is now.
type Customer struct {
	CustomerID uuid.UUID `json:"customer_id"`
	Details
	// Revision counts what has happened to the customer, from 1.
	Revision int64 `json:"revision"`
	Deleted  bool  `json:"deleted,omitempty"`
}

// Details are what a customer tells about itself. Events carry them too, so they change as a contract does: by adding what readers may ignore.
type Details struct {
	Name      string    `json:"name"`
	Email     string    `json:"email"`
	Addresses []Address `json:"addresses"`
}

// Address is one of a customer's.
type Address struct {
	Street string `json:"street"`
	City   string `json:"city"`
}

// Validate names all that is wrong.
func (d Details) Validate() error {
	var wrong []error
	if strings.TrimSpace(d.Name) == "" {
		wrong = append(wrong, errors.New("name: want one"))
	}
	if user, host, ok := strings.Cut(d.Email, "@"); !ok || user == "" || host == "" {
		wrong = append(wrong, errors.New("email: want one, such as ada@example.com"))
	}
	for _, a := range d.Addresses {
		if a.Street == "" || a.City == "" {
			wrong = append(wrong, errors.New("addresses: want street and city"))
			break
		}
	}
	return errors.Join(wrong...)
}

// Create makes a customer. Without an id it gets a new one.
type Create struct {
	CustomerID uuid.UUID `json:"customer_id"`
	Details
}

// Update replaces a customer's details.
type Update struct {
	CustomerID uuid.UUID `json:"customer_id"`
	Details
}

// Delete deletes a customer.
type Delete struct {
	CustomerID uuid.UUID `json:"customer_id"`
}

// Find asks for a customer.
type Find struct {
	CustomerID uuid.UUID `json:"customer_id"`
}
