// Package payment takes money for orders. It asks package order what an order costs: a typed request with a typed answer, in the same process a plain call.
package payment

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/store"
)

// Schema makes the module's table.
const Schema = `CREATE TABLE IF NOT EXISTS payments (
	order_id TEXT   PRIMARY KEY,
	amount   BIGINT NOT NULL,
	currency TEXT   NOT NULL
)`

// PayOrder pays an order, once.
var PayOrder = tidings.DefineRequest[Pay, Payment]("payment", "PayOrder", "v1")

// Pay names the order and what the payer takes to be its price, in hundredths of its currency.
type Pay struct {
	OrderID string `json:"order_id"`
	Amount  int64  `json:"amount"`
}

// Payment is an order that is paid.
type Payment struct {
	OrderID  string `json:"order_id"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

type payments struct{ module *tidings.Module }

// Add adds the module to an app. Its table is in the database of the app's store.
func Add(app *tidings.App) {
	p := &payments{module: app.AddModule("payment")}
	p.module.Calls(order.FindOrder)
	p.module.Serve(tidings.Serve(PayOrder, p.pay))
}

// pay asks first and then begins its transaction, so that none is open while it waits for somebody else.
func (p *payments) pay(ctx context.Context, q Pay) (Payment, error) {
	o, err := order.FindOrder.Call(ctx, p.module, order.Find{OrderID: q.OrderID})
	if err != nil {
		return Payment{}, err
	}
	if err = payable(o, q); err != nil {
		return Payment{}, err
	}
	paid := Payment{OrderID: o.OrderID, Amount: o.Amount, Currency: o.Currency}
	return paid, tidings.InTx(ctx, p.module, func(ctx context.Context, tx *store.SQLTx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO payments (order_id, amount, currency) VALUES ($1, $2, $3) ON CONFLICT (order_id) DO NOTHING`,
			paid.OrderID, paid.Amount, paid.Currency)
		if err != nil {
			return fmt.Errorf("payment: pay %s: %w", paid.OrderID, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("order %s is paid: %w", paid.OrderID, tidings.CodeConflict)
		}
		return nil
	})
}

// payable says why an order can't be paid like that.
func payable(o order.Order, q Pay) error {
	switch {
	case o.Status == order.Abandoned:
		return fmt.Errorf("order %s is cancelled: %w", o.OrderID, tidings.CodeConflict)
	case o.Amount != q.Amount:
		return fmt.Errorf("order %s costs %d, not %d: %w", o.OrderID, o.Amount, q.Amount, tidings.CodeConflict)
	default:
		return nil
	}
}
