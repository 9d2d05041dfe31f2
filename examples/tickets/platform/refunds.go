package platform

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// Errors of [Platform.Refund].
var (
	// ErrNotFound says that there is no such booking.
	ErrNotFound = errors.New("there is no such booking")
	// ErrRefunded says that the booking was refunded before.
	ErrRefunded = errors.New("the booking was refunded before")
)

// refunds gives customers their money back.
type refunds struct{ module *tidings.Module }

func addRefunds(p *Platform) *refunds {
	r := &refunds{module: p.app.AddModule("refunds", "bookings")}
	r.module.Emits(Refunded)
	return r
}

// Refund refunds a booking, once: the second time is [ErrRefunded].
func (p *Platform) Refund(ctx context.Context, bookingID string) error {
	err := tidings.InTx(ctx, p.refunds.module, func(ctx context.Context, tx *store.SQLTx) error {
		return p.refunds.refund(ctx, tx, bookingID)
	})
	if err != nil {
		return fmt.Errorf("tickets: refund %s: %w", bookingID, err)
	}
	return nil
}

func (r *refunds) refund(ctx context.Context, tx *store.SQLTx, bookingID string) error {
	t := Ticket{BookingID: bookingID}
	err := tx.QueryRowContext(ctx, `SELECT show_id FROM bookings WHERE id = $1`, bookingID).Scan(&t.ShowID)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("find: %w", err)
	}
	// Counting first locks the show, so of two refunds of one booking the second sees the row of the first.
	err = tx.QueryRowContext(ctx, `UPDATE shows SET refunded = refunded + 1 WHERE id = $1 RETURNING refunded`, t.ShowID).Scan(&t.N)
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	done, err := tx.ExecContext(ctx, `INSERT INTO refunds (booking_id, show_id, n, refunded_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		t.BookingID, t.ShowID, t.N, formatTime(time.Now()))
	if err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	if rows, err := done.RowsAffected(); err != nil || rows == 0 {
		return errors.Join(ErrRefunded, err) // the rollback takes the count back
	}
	return Refunded.Publish(ctx, r.module.Outbox(tx), TicketRefunded{Ticket: t})
}
