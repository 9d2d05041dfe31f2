package appdomain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/store"
)

// give calls a command's handler, as it is, in a transaction, and returns its events in short.
func give[C, R any](t *testing.T, app *tidings.App, handle func(context.Context, *store.SQLTx, C) (R, tidings.Events, error), cmd C) string {
	t.Helper()
	var result []string
	err := tidings.InTx(t.Context(), app, func(ctx context.Context, tx *store.SQLTx) error {
		_, events, err := handle(ctx, tx, cmd)
		for _, e := range events {
			result = append(result, fmt.Sprintf("%s %s %s", e.Type, e.Key, e.Subject))
		}
		return err
	})
	if err != nil {
		return err.Error()
	}
	return strings.Join(result, "\n")
}

func TestCommands(t *testing.T) {
	app := tidings.New(tidings.Config{Service: "cashiers", Broker: memory.New(memory.Config{}), Store: trial.Store(t, Schema)})
	ada := NewCashier{TenantID: "acme", Region: "north", CashierID: "ada", Name: "Ada", Email: "ada@acme.example"}
	bo := NewUser{TenantID: "acme", UserID: "bo", Name: "Bo", Email: "bo@acme.example"}
	for i, step := range []struct{ got, want string }{
		{give(t, app, createCashier, ada), "appdomain.CashierCreated.v1 acme|north ada"},
		{give(t, app, createCashier, ada), "acme has or had a cashier ada: conflict"},
		{give(t, app, deleteCashier, OldCashier{"other", "ada"}), "other has no cashier ada: not-found"},
		{give(t, app, deleteCashier, OldCashier{"acme", "ada"}), "appdomain.CashierDeleted.v1 acme|north ada"},
		{give(t, app, deleteCashier, OldCashier{"acme", "ada"}), "acme has no cashier ada: not-found"},
		{give(t, app, createUser, bo), "appdomain.UserCreated.v1 acme bo\nappdomain.UserCreated.v2 acme bo"},
		{give(t, app, createUser, bo), "acme has a user bo: conflict"},
	} {
		if step.got != step.want {
			t.Errorf("step %d: got %s, want %s", i, step.got, step.want)
		}
	}
}

func TestCommandsNameAllThatIsWrong(t *testing.T) {
	err := errors.Join(NewCashier{TenantID: "Acme", Name: "Ada\r\nBcc: all@acme.example", Email: "Ada <ada@acme.example>"}.Validate(), NewUser{}.Validate())
	for _, field := range []string{"tenant_id", "region", "cashier_id", "name", "email", "user_id"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("nothing about %s: %v", field, err)
		}
	}
	if err = (NewUser{TenantID: "acme", UserID: "zoe", Name: "Zoë Müller", Email: "zoe@acme.example"}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestNobodyNotedWhenUsersOfVersion1WereCreated(t *testing.T) {
	got, err := UserCreatedV2.In(UserCreatedV1.New(UserV1{TenantID: "acme", UserID: "bo", Name: "Bo", Email: "bo@acme.example"}))
	if err != nil || got.UserID != "bo" || got.Email != "bo@acme.example" || !got.CreatedDate.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
}
