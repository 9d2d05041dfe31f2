package platform

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// addNotifications tells customers that their booking is confirmed or refunded. A real one would send a mail with
// tidings.IdempotencyKey; this one notes what it would send. Its subscription reads two events, in their order: nobody hears of the
// refund before the confirmation, unless the refund came first.
func addNotifications(p *Platform) {
	p.app.AddModule("notifications").Subscribe(p.subscription("notifications"),
		tidings.OnTx(Confirmed, func(ctx context.Context, tx *store.SQLTx, e TicketBookingConfirmed) error {
			return notify(ctx, tx, e.Ticket, "confirmed")
		}),
		tidings.OnTx(Refunded, func(ctx context.Context, tx *store.SQLTx, e TicketRefunded) error {
			return notify(ctx, tx, e.Ticket, "refunded")
		}))
}

func notify(ctx context.Context, tx *store.SQLTx, t Ticket, kind string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO notifications (booking_id, show_id, n, kind) VALUES ($1, $2, $3, $4)`, t.BookingID, t.ShowID, t.N, kind)
	if err != nil {
		return fmt.Errorf("tickets: notify: %w", err)
	}
	return nil
}
