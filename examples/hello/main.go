// Command hello is the README's example: one event, published in a transaction and handled.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/embedded"
	"github.com/tidings-go/tidings/store/sqlite"
)

// BookingMade is published when a customer has booked seats for a show. Bookings of one show stay in order.
type BookingMade struct {
	ShowID string `json:"show_id" tidings:"key"`
	Seats  int    `json:"seats"`
}

var made = tidings.Define[BookingMade]("tickets", "BookingMade", "v1")

func run(ctx context.Context, dir string) error {
	node, err := embedded.Open(ctx, dir, embedded.Config{}) // NATS JetStream and SQLite, in this process
	if err != nil {
		return err
	}
	defer node.Close() //nolint:errcheck // what was acknowledged is on disk already
	app := tidings.New(tidings.Config{Service: "tickets", Broker: node.Broker(), Store: node.Store()})
	app.Emits(made)
	app.Subscribe(tidings.Subscription{Name: "mailer"}, tidings.On(made, func(_ context.Context, e BookingMade) error {
		_, err := fmt.Fprintf(os.Stdout, "mail: %d seats for %s\n", e.Seats, e.ShowID)
		return err // an error is tried again, and then parked
	}))
	app.OnStart(func(ctx context.Context) error {
		return tidings.InTx(ctx, app, func(ctx context.Context, tx *sqlite.Tx) error {
			// … the business rows, through tx …
			return made.Publish(ctx, app.Outbox(tx), BookingMade{ShowID: "hamlet", Seats: 2})
		})
	})
	return app.Run(ctx)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, "data")
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
