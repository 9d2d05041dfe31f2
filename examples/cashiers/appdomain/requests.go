package appdomain

import (
	"errors"
	"net/mail"
	"regexp"
	"time"
	"unicode"

	"github.com/tidings-go/tidings"
)

// The commands of this domain.
var (
	CreateCashier = tidings.DefineRequest[NewCashier, Cashier]("appdomain", "CreateCashier", "v1")
	DeleteCashier = tidings.DefineRequest[OldCashier, Cashier]("appdomain", "DeleteCashier", "v1")
	CreateUser    = tidings.DefineRequest[NewUser, User]("appdomain", "CreateUser", "v1")
)

// NewCashier makes a cashier.
type NewCashier struct {
	TenantID  string `json:"tenant_id"`
	Region    string `json:"region"`
	CashierID string `json:"cashier_id"`
	Name      string `json:"name"`
	Email     string `json:"email"`
}

// Validate names all that is wrong.
func (c NewCashier) Validate() error {
	return errors.Join(id("tenant_id", c.TenantID), id("region", c.Region), id("cashier_id", c.CashierID), name(c.Name), email(c.Email))
}

// OldCashier names the cashier to delete.
type OldCashier struct {
	TenantID  string `json:"tenant_id"`
	CashierID string `json:"cashier_id"`
}

// NewUser makes a user.
type NewUser struct {
	TenantID string `json:"tenant_id"`
	UserID   string `json:"user_id"`
	Name     string `json:"name"`
	Email    string `json:"email"`
}

// Validate names all that is wrong.
func (u NewUser) Validate() error {
	return errors.Join(id("tenant_id", u.TenantID), id("user_id", u.UserID), name(u.Name), email(u.Email))
}

// User is a user as it is now.
type User struct {
	UserID      string    `json:"user_id"`
	Name        string    `json:"name"`
	Email       string    `json:"email"`
	CreatedDate time.Time `json:"created_date"`
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func id(field, value string) error {
	if !idPattern.MatchString(value) {
		return errors.New(field + ": want 1 to 64 lower-case letters, digits and '-'")
	}
	return nil
}

func name(value string) error {
	if value == "" || len(value) > 200 {
		return errors.New("name: want 1 to 200 bytes")
	}
	for _, r := range value {
		if !unicode.IsPrint(r) {
			return errors.New("name: want printable characters")
		}
	}
	return nil
}

func email(value string) error {
	if a, err := mail.ParseAddress(value); err != nil || a.Address != value {
		return errors.New("email: want an address, such as ada@acme.example")
	}
	return nil
}
