// Package audit enters every order into a ledger. It still reads version 1 of OrderCreated, which has all that it wants: id and amount.
//
// It takes orders in batches and answers each by itself, so that one that can't be entered holds up no other:
//
//	entered              Ack
//	bad data             Term: a dead letter, for a person to look at
//	refused for good     Term: the same
//	the ledger is busy   Nak: again in 5 seconds
//
// Entering may take long, so it says for each order that it is still at work.
package audit

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/delivery/order"
)

// Config says what the audit works with.
type Config struct {
	// DB is the database of the app's store, which has the ledger's table.
	DB *sql.DB
	// Ledger is used in place of the table.
	Ledger Ledger
	// Wait is how long an order waits for nine others. Default 5 s.
	Wait time.Duration
	Log  *slog.Logger
}

// How orders are read, and answered.
const (
	batchSize = 10
	// patience is how long the ledger may take for one order.
	patience = 30 * time.Second
	// retryAfter is when to try again with a ledger that is busy, and attempts is how often in all: about an hour.
	retryAfter = 5 * time.Second
	attempts   = 720
)

// Entry is an order in the ledger.
type Entry struct {
	// MessageID is the id of the event, which is the same when it comes again.
	MessageID string `json:"message_id"`
	OrderID   string `json:"order_id"`
	Amount    int64  `json:"amount"`
}

// Ledger enters an order. An order that comes again must be entered once. An error that is [ErrRefused] is for good; any other goes by.
type Ledger func(ctx context.Context, e Entry) error

// ErrRefused says that a ledger will never take an order.
var ErrRefused = errors.New("the ledger refuses the order")

// errBadData says that an event can't be an order's.
var errBadData = errors.New("bad data")

type audit struct {
	ledger Ledger
	log    *slog.Logger
}

// Add adds the module to an app.
func Add(app *tidings.App, cfg Config) {
	m := app.AddModule("audit")
	a := &audit{ledger: cfg.Ledger, log: cfg.Log}
	if a.ledger == nil {
		b := &books{module: m, db: cfg.DB}
		m.Serve(tidings.Serve(CloseLedger, b.close), tidings.Serve(LatestEntries, b.latest))
		a.ledger = b.enter
	}
	m.Subscribe(tidings.Subscription{Name: "audit", Timeout: patience, Retry: tidings.Retry{Attempts: attempts}},
		tidings.OnBatch(order.OrderCreatedV1, tidings.Batch{Size: batchSize, Wait: cmp.Or(cfg.Wait, 5*time.Second)}, a.enter))
}

func (a *audit) enter(ctx context.Context, batch []*tidings.Delivery[order.CreatedV1]) error {
	for _, d := range batch {
		d.InProgress() // the Timeout is for each order, not for all of them
		err := a.enterOne(d.Context(ctx), d)
		switch {
		case err == nil:
			d.Ack()
		case errors.Is(err, errBadData), errors.Is(err, ErrRefused):
			d.Term(err)
		case ctx.Err() != nil:
			return err // we are to stop: those without an answer come again
		default:
			a.log.LogAttrs(ctx, slog.LevelWarn, "an order is not in the ledger yet", slog.String("order", d.Payload.OrderID), slog.Any("error", err))
			d.Nak(retryAfter)
		}
	}
	return nil
}

func (a *audit) enterOne(ctx context.Context, d *tidings.Delivery[order.CreatedV1]) error {
	e := Entry{MessageID: d.Message.ID, OrderID: d.Payload.OrderID, Amount: d.Payload.Amount}
	if e.OrderID == "" || e.Amount <= 0 {
		return fmt.Errorf("audit: order %q over %d: %w", e.OrderID, e.Amount, errBadData)
	}
	return a.ledger(ctx, e)
}
