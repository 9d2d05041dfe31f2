package invoicing

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
	"github.com/tidings-go/tidings/store/sqlite"
)

type rig struct {
	t   *testing.T
	app *tidings.App
	s   *sqlite.Store
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s := trial.Store(t, Schema)
	return &rig{t, tidings.New(tidings.Config{Service: "cashiers", Broker: memory.New(memory.Config{}), Store: s}), s}
}

func (r *rig) tx(do func(ctx context.Context, tx *store.SQLTx) error) error {
	return tidings.InTx(r.t.Context(), r.app, do)
}

func (r *rig) count(query string) (n int64) {
	r.t.Helper()
	if err := r.s.DB().QueryRowContext(r.t.Context(), query).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// give calls a command's handler, as it is, in a transaction, and returns its events in short.
func give[C, R any](r *rig, handle func(context.Context, *store.SQLTx, C) (R, tidings.Events, error), cmd C) string {
	r.t.Helper()
	var result []string
	err := r.tx(func(ctx context.Context, tx *store.SQLTx) error {
		answer, events, err := handle(ctx, tx, cmd)
		if i, ok := any(answer).(Invoice); ok && err == nil {
			result = append(result, fmt.Sprintf("%s %s %d", i.InvoiceID, i.Status, i.AmountPaid))
		}
		for _, e := range events {
			_, revision, _ := strings.Cut(string(e.Data), `"revision":`)
			result = append(result, fmt.Sprintf("%s %s %s r%s", e.Type, e.Key, e.Subject, strings.TrimSuffix(revision, "}")))
		}
		return err
	})
	if err != nil {
		return err.Error()
	}
	return strings.Join(result, ", ")
}

func TestAnInvoicesLife(t *testing.T) {
	r := newRig(t)
	tea := NewInvoice{TenantID: "acme", SKU: "tea", Quantity: 3, Amount: 4200}
	for i, step := range []struct{ got, want string }{
		{give(r, create, tea), "acme-1 open 0, invoicing.InvoiceCreated.v1 acme acme-1 r1"},
		{give(r, create, tea), "acme-2 open 0, invoicing.InvoiceCreated.v1 acme acme-2 r2"},
		{give(r, create, NewInvoice{TenantID: "other", SKU: "tea", Quantity: 1, Amount: 1}), "other-1 open 0, invoicing.InvoiceCreated.v1 other other-1 r1"},
		{give(r, pay, Payment{"acme", "acme-1", 4199}), "invoice acme-1 is over 4200, not 4199: conflict"},
		{give(r, pay, Payment{"other", "acme-1", 4200}), `other has no invoice "acme-1": not-found`},
		{give(r, pay, Payment{"acme", "acme-1", 4200}), "acme-1 paid 4200, invoicing.InvoicePaid.v1 acme acme-1 r3"}, // what was refused is no entry
		{give(r, pay, Payment{"acme", "acme-1", 4200}), "invoice acme-1 is paid: conflict"},
		{give(r, create, tea), "acme-3 open 0, invoicing.InvoiceCreated.v1 acme acme-3 r4"},
	} {
		if step.got != step.want {
			t.Errorf("step %d: got %s, want %s", i, step.got, step.want)
		}
	}
	err := r.tx(func(ctx context.Context, tx *store.SQLTx) error {
		return errors.Join(reconcile(ctx, tx, Paid{TenantID: "acme", InvoiceID: "acme-1", AmountPaid: 4200}), settle(ctx, tx, Reconciled{TenantID: "acme", InvoiceID: "acme-1"}))
	})
	if err != nil || r.count(`SELECT amount FROM payments`) != 4200 || r.count(`SELECT count(*) FROM settlements`) != 1 {
		t.Errorf("reconciled and settled: %v", err)
	}
	if i, err := find(t.Context(), r.s.DB(), "acme", "acme-1"); err != nil || i.Status != Settled || i.AmountPaid != 4200 || i.PaidDate == "" {
		t.Errorf("found %+v, %v", i, err)
	}
}

func TestWhatIsReservedIsTakenOutOfTheInventory(t *testing.T) {
	r := newRig(t)
	give(r, restock, Delivery{SKU: "tea", Quantity: 4})
	give(r, restock, Delivery{SKU: "tea", Quantity: 1})
	for _, step := range []struct {
		sku             string
		quantity, stock int64
		err             error
	}{{"tea", 3, 2, nil}, {"tea", 3, 2, ErrNotAvailable}, {"gold", 1, 2, ErrNotAvailable}, {"tea", 2, 0, nil}} {
		err := r.tx(func(ctx context.Context, tx *store.SQLTx) error {
			return reserve(ctx, tx, Created{TenantID: "acme", InvoiceID: "acme-1", SKU: step.sku, Quantity: step.quantity})
		})
		if !errors.Is(err, step.err) || r.count(`SELECT stock FROM inventory`) != step.stock {
			t.Errorf("%d of %s: %v, and then there are %d", step.quantity, step.sku, err, r.count(`SELECT stock FROM inventory`))
		}
	}
	if n := r.count(`SELECT SUM(quantity) FROM reservations`); n != 5 {
		t.Errorf("%d are reserved", n)
	}
}

func TestRequestsNameAllThatIsWrong(t *testing.T) {
	err := errors.Join(NewInvoice{TenantID: "Acme"}.Validate(), Delivery{SKU: "", Quantity: 2_000_000_000}.Validate())
	for _, field := range []string{"tenant_id", "sku", "quantity", "amount"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("nothing about %s: %v", field, err)
		}
	}
}
