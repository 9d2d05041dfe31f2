package appdomain

import (
	"time"

	"github.com/tidings-go/tidings"
)

// The events of this domain. Those of cashiers share a topic, dev.appdomain.public.cashiers.v1, so that they stay in order per tenant and region.
var (
	CashierCreated = tidings.Define[Created]("appdomain", "CashierCreated", "v1", tidings.Entity("cashier"))
	CashierDeleted = tidings.Define[Deleted]("appdomain", "CashierDeleted", "v1", tidings.Entity("cashier"))
	// UserCreatedV1 is published beside v2, on a topic of its own, for as long as anybody reads no more than that.
	UserCreatedV1 = tidings.Define[UserV1]("appdomain", "UserCreated", "v1", tidings.Entity("user"))
	UserCreatedV2 = tidings.Evolve(UserCreatedV1, "v2", fromV1)
)

// Cashier is a cashier, as commands answer it and events tell it.
type Cashier struct {
	// CashierID is unique within the tenant. A deleted cashier keeps it.
	CashierID string `json:"cashier_id" tidings:"subject"`
	Name      string `json:"name"`
	Email     string `json:"email"`
}

// Created says that there is a cashier. The order of the key's parts is written down, so that moving a field changes no key.
type Created struct {
	TenantID string  `json:"tenant_id" tidings:"key,order=0"`
	Region   string  `json:"region" tidings:"key,order=1"`
	Cashier  Cashier `json:"cashier"`
}

// Deleted says that a cashier is gone.
type Deleted struct {
	TenantID  string `json:"tenant_id" tidings:"key,order=0"`
	Region    string `json:"region" tidings:"key,order=1"`
	CashierID string `json:"cashier_id" tidings:"subject"`
}

// UserV1 says that there is a user.
type UserV1 struct {
	TenantID string `json:"tenant_id" tidings:"key"`
	UserID   string `json:"user_id" tidings:"subject"`
	Name     string `json:"name"`
	Email    string `json:"email"`
}

// UserV2 also says since when.
type UserV2 struct {
	TenantID string `json:"tenant_id" tidings:"key"`
	UserID   string `json:"user_id" tidings:"subject"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	// CreatedDate is zero for users of v1: nobody noted it then.
	CreatedDate time.Time `json:"created_date,omitzero"`
}

func fromV1(old UserV1) (UserV2, error) {
	return UserV2{TenantID: old.TenantID, UserID: old.UserID, Name: old.Name, Email: old.Email}, nil
}
