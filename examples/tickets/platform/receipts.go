package platform

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// receipts issues a receipt for each confirmed booking.
type receipts struct{ module *tidings.Module }

func addReceipts(p *Platform) {
	r := &receipts{module: p.app.AddModule("receipts")}
	r.module.Emits(ReceiptIssued)
	r.module.Subscribe(p.subscription("receipts"), tidings.OnTx(Confirmed, r.issue))
}

func (r *receipts) issue(ctx context.Context, tx *store.SQLTx, e TicketBookingConfirmed) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO receipts (booking_id, show_id, n) VALUES ($1, $2, $3)`, e.BookingID, e.ShowID, e.N)
	if err != nil {
		return fmt.Errorf("tickets: issue a receipt: %w", err)
	}
	return ReceiptIssued.Publish(ctx, r.module.Outbox(tx), TicketReceiptIssued{Ticket: e.Ticket})
}
