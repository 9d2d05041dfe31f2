package platform

import (
	"time"

	"github.com/tidings-go/tidings"
)

// The public events: what other services may rely on. One booking makes the first four; a refund makes the last.
var (
	Made          = tidings.Define[BookingMade]("tickets", "BookingMade", "v1")
	Confirmed     = tidings.Define[TicketBookingConfirmed]("tickets", "TicketBookingConfirmed", "v1")
	ReceiptIssued = tidings.Define[TicketReceiptIssued]("tickets", "TicketReceiptIssued", "v1")
	Printed       = tidings.Define[TicketPrinted]("tickets", "TicketPrinted", "v1")
	Refunded      = tidings.Define[TicketRefunded]("tickets", "TicketRefunded", "v1")
)

// ReadModelUpdated is internal: it tells the pages of this service that a row of the read model has changed.
var ReadModelUpdated = tidings.Define[InternalOpsReadModelUpdated]("tickets", "InternalOpsReadModelUpdated", "v1", tidings.Internal)

// Ticket is what all public events say. They are ordered by show.
type Ticket struct {
	ShowID    string `json:"show_id" tidings:"key"`
	BookingID string `json:"booking_id" tidings:"subject"`
	// N counts the show's bookings, or its refunds in TicketRefunded: 1, 2, 3 and so on. It is taken under the lock of the show's row, in the
	// transaction that makes the booking. So whoever reads the events can tell whether any is missing, doubled or out of order.
	N int64 `json:"n"`
}

// BookingMade says that a customer has booked seats for a show.
type BookingMade struct {
	Ticket
	Customer string `json:"customer"`
	Seats    int    `json:"seats"`
}

// TicketBookingConfirmed says that a booking is binding.
type TicketBookingConfirmed struct {
	Ticket
	Customer string `json:"customer"`
}

// TicketReceiptIssued says that there is a receipt for a booking.
type TicketReceiptIssued struct{ Ticket }

// TicketPrinted says that a booking's tickets are printed.
type TicketPrinted struct{ Ticket }

// TicketRefunded says that a customer gave the tickets back and got the money.
type TicketRefunded struct{ Ticket }

// InternalOpsReadModelUpdated says which row of the ops read model has changed.
type InternalOpsReadModelUpdated struct {
	Header    Header `json:"header"`
	BookingID string `json:"booking_id" tidings:"key"`
}

// Header is what this service's internal events begin with.
type Header struct {
	ID          string    `json:"id"`
	PublishedAt time.Time `json:"published_at"`
}

// publicTypes are the types of the public events, in the order of the flow.
func publicTypes() []string {
	return []string{
		Made.Definition().Type(), Confirmed.Definition().Type(), ReceiptIssued.Definition().Type(),
		Printed.Definition().Type(), Refunded.Definition().Type(),
	}
}
