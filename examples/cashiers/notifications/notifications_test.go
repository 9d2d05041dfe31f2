package notifications

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/store"
)

// newNotifications is the service on an empty database, with a mailer of the test's own. It does not run: its handlers are called as they are.
func newNotifications(t *testing.T, mailer Mailer) *notifications {
	t.Helper()
	s := trial.Store(t, Schema)
	app := tidings.New(tidings.Config{Service: "notifications", Broker: memory.New(memory.Config{}), Store: s})
	return &notifications{Config: Config{DB: s.DB(), Mailer: mailer}, module: app.Module}
}

func TestAStatement(t *testing.T) {
	n := newNotifications(t, nil)
	err := tidings.InTx(t.Context(), n.module, func(ctx context.Context, tx *store.SQLTx) error {
		return errors.Join(
			writeInvoice(ctx, tx, invoicing.Created{TenantID: "acme", InvoiceID: "acme-1", Amount: 4205, Revision: 1}),
			writeInvoice(ctx, tx, invoicing.Created{TenantID: "other", InvoiceID: "other-1", Amount: 1, Revision: 1}),
			writePayment(ctx, tx, invoicing.Paid{TenantID: "acme", InvoiceID: "acme-1", AmountPaid: 4205, Revision: 2}))
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := n.statement(t.Context(), Read{"acme"})
	want := []Line{{"acme-1", "invoice over 42.05 EUR", 1}, {"acme-1", "paid 42.05 EUR", 2}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestMailsAreNotedWhenTheyAreSent(t *testing.T) {
	down := errors.New("the mail server is down")
	var sent []Mail
	n := newNotifications(t, func(_ context.Context, m Mail) error {
		if down != nil {
			return down
		}
		sent = append(sent, m)
		return nil
	})
	day := time.Date(2026, time.May, 4, 0, 0, 0, 0, time.UTC)
	bo := appdomain.UserV2{TenantID: "acme", UserID: "bo", Name: "Bo", Email: "bo@acme.example", CreatedDate: day}
	if err := n.userCreatedV2(t.Context(), bo); !errors.Is(err, down) {
		t.Errorf("it is not tried again: %v", err)
	}
	if got, err := n.latest(t.Context(), Latest{"acme"}); err != nil || len(got) != 0 {
		t.Errorf("noted %v, %v", got, err)
	}
	down = nil
	for range 2 { // the second is what comes after a crash
		if err := n.userCreatedV2(t.Context(), bo); err != nil {
			t.Fatal(err)
		}
	}
	got, err := n.latest(t.Context(), Latest{"acme"})
	if err != nil || len(got) != 1 || got[0].To != bo.Email || len(sent) != 2 || sent[0] != sent[1] || sent[0].Text != "You are a user of acme since 4 May 2026." {
		t.Errorf("noted %v, %v; sent %v", got, err, sent)
	}
}
