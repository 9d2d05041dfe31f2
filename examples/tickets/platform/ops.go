package platform

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/sse"
	"github.com/tidings-go/tidings/store"
)

// ops keeps the read model that the page shows, and tells the page of every change.
type ops struct {
	module *tidings.Module
	db     *sql.DB
	hub    *sse.Hub
	// run makes the ids of server-sent events unique over restarts; pushed counts them.
	run    string
	pushed uint64
}

func addOps(p *Platform) *ops {
	o := &ops{
		module: p.app.AddModule("ops"), db: p.db, hub: sse.New(sse.Config{Keep: 4096, Buffer: 2048}),
		run: fmt.Sprintf("%x", time.Now().UnixNano()),
	}
	o.module.Emits(ReadModelUpdated)
	// One subscription to all five: it reads the topic "events", where they are in order.
	o.module.Subscribe(p.subscription("ops-read-model"),
		tidings.OnTx(Made, func(ctx context.Context, tx *store.SQLTx, e BookingMade) error {
			return o.project(ctx, tx, Row{BookingID: e.BookingID, Show: e.ShowID, Customer: e.Customer, Seats: e.Seats, Steps: Steps{Made: 1}}, e.N)
		}),
		tidings.OnTx(Confirmed, func(ctx context.Context, tx *store.SQLTx, e TicketBookingConfirmed) error {
			return o.project(ctx, tx, Row{BookingID: e.BookingID, Show: e.ShowID, Steps: Steps{Confirmed: 1}}, e.N)
		}),
		tidings.OnTx(ReceiptIssued, func(ctx context.Context, tx *store.SQLTx, e TicketReceiptIssued) error {
			return o.project(ctx, tx, Row{BookingID: e.BookingID, Show: e.ShowID, Steps: Steps{Receipted: 1}}, e.N)
		}),
		tidings.OnTx(Printed, func(ctx context.Context, tx *store.SQLTx, e TicketPrinted) error {
			return o.project(ctx, tx, Row{BookingID: e.BookingID, Show: e.ShowID, Steps: Steps{Printed: 1}}, e.N)
		}),
		tidings.OnTx(Refunded, func(ctx context.Context, tx *store.SQLTx, e TicketRefunded) error {
			return o.project(ctx, tx, Row{BookingID: e.BookingID, Show: e.ShowID, Steps: Steps{Refunded: 1}}, e.N)
		}))
	// Every replica hears every update, whichever replica made it, and passes it on to the pages that are connected to it.
	o.module.Listen(tidings.Listener{}, tidings.On(ReadModelUpdated, o.push))
	return o
}

// project takes one event into the read model. change has what the event says, and a 1 at its step.
func (o *ops) project(ctx context.Context, tx *store.SQLTx, change Row, n int64) error {
	seq, err := advanceShow(ctx, tx, change)
	if err != nil {
		return err
	}
	if err = saveRow(ctx, tx, change); err != nil {
		return err
	}
	m, _ := tidings.MessageFrom(ctx)
	_, err = tx.ExecContext(ctx, `INSERT INTO ops_log (seq, type, show_id, n, booking_id) VALUES ($1, $2, $3, $4, $5)`,
		seq, m.Type, change.Show, n, change.BookingID)
	if err != nil {
		return fmt.Errorf("tickets: ops: log: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("tickets: ops: %w", err)
	}
	return ReadModelUpdated.Publish(ctx, o.module.Outbox(tx), InternalOpsReadModelUpdated{
		Header: Header{ID: id.String(), PublishedAt: time.Now().UTC()}, BookingID: change.BookingID,
	})
}

// push sends the row that was updated to the pages.
func (o *ops) push(ctx context.Context, e InternalOpsReadModelUpdated) error {
	row, err := findRow(ctx, o.db, e.BookingID)
	if err != nil {
		return err
	}
	data, err := encodeRow(row)
	if err != nil {
		return err
	}
	o.pushed++ // a listener handles one message at a time
	return o.hub.Publish(fmt.Sprintf("%s-%d", o.run, o.pushed), "booking", data)
}
