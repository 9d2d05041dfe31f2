package platform

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// printing prints the tickets of each confirmed booking.
type printing struct{ module *tidings.Module }

func addPrinting(p *Platform) {
	m := &printing{module: p.app.AddModule("printing")}
	m.module.Emits(Printed)
	m.module.Subscribe(p.subscription("printing"), tidings.OnTx(Confirmed, m.print))
}

func (m *printing) print(ctx context.Context, tx *store.SQLTx, e TicketBookingConfirmed) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO prints (booking_id, show_id, n) VALUES ($1, $2, $3)`, e.BookingID, e.ShowID, e.N)
	if err != nil {
		return fmt.Errorf("tickets: print: %w", err)
	}
	return Printed.Publish(ctx, m.module.Outbox(tx), TicketPrinted{Ticket: e.Ticket})
}
