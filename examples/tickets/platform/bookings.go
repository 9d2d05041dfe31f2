package platform

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// Booking is a booking that was made.
type Booking struct {
	ID       string    `json:"id"`
	Show     string    `json:"show"`
	N        int64     `json:"n"` // the show's how-manieth booking
	Customer string    `json:"customer"`
	Seats    int       `json:"seats"`
	MadeAt   time.Time `json:"made_at"`
}

// bookings takes bookings and confirms them.
type bookings struct{ module *tidings.Module }

func addBookings(p *Platform) *bookings {
	b := &bookings{module: p.app.AddModule("bookings")}
	b.module.Emits(Made, Confirmed)
	b.module.Subscribe(p.subscription("confirmations"), tidings.OnTx(Made, b.confirm))
	return b
}

// Book makes a booking: its row and the event that tells of it, in one transaction. A request that can't be right is an [*Invalid].
func (p *Platform) Book(ctx context.Context, r Request) (Booking, error) {
	if err := r.check(); err != nil {
		return Booking{}, err
	}
	return p.bookings.book(ctx, r)
}

func (b *bookings) book(ctx context.Context, r Request) (Booking, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Booking{}, fmt.Errorf("tickets: book: %w", err)
	}
	made := Booking{ID: id.String(), Show: r.Show, Customer: r.Customer, Seats: r.Seats, MadeAt: time.Now()}
	err = tidings.InTx(ctx, b.module, func(ctx context.Context, tx *store.SQLTx) error {
		// The show's row stays locked until the commit, so its bookings are counted, and their events published, one after the other.
		const count = `INSERT INTO shows (id, booked, refunded) VALUES ($1, 1, 0)
			ON CONFLICT (id) DO UPDATE SET booked = shows.booked + 1 RETURNING booked`
		err = tx.QueryRowContext(ctx, count, made.Show).Scan(&made.N)
		if err != nil {
			return fmt.Errorf("count: %w", err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO bookings (id, show_id, n, customer, seats, made_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			made.ID, made.Show, made.N, made.Customer, made.Seats, formatTime(made.MadeAt))
		if err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		return Made.Publish(ctx, b.module.Outbox(tx), BookingMade{
			Ticket: Ticket{ShowID: made.Show, BookingID: made.ID, N: made.N}, Customer: made.Customer, Seats: made.Seats,
		})
	})
	if err != nil {
		return Booking{}, fmt.Errorf("tickets: book: %w", err)
	}
	return made, nil
}

// confirm reacts to a booking. The row, the event and the note that the booking was handled are committed together.
func (b *bookings) confirm(ctx context.Context, tx *store.SQLTx, e BookingMade) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO confirmations (booking_id, show_id, n) VALUES ($1, $2, $3)`, e.BookingID, e.ShowID, e.N)
	if err != nil {
		return fmt.Errorf("tickets: confirm: %w", err)
	}
	return Confirmed.Publish(ctx, b.module.Outbox(tx), TicketBookingConfirmed{Ticket: e.Ticket, Customer: e.Customer})
}
