// Command boxoffice sells seats of shows and mails the buyers. It is the service of docs/getting-started.md.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/httpapi"
	"github.com/tidings-go/tidings/store"
)

// SeatsSold is published when seats of a show were sold. Sales of one show stay in order.
type SeatsSold struct {
	Show     string `json:"show" tidings:"key"`
	Customer string `json:"customer"`
	Seats    int    `json:"seats"`
}

// SellSeats asks for seats. Sale is the answer.
type (
	SellSeats struct {
		Show     string `json:"show"`
		Customer string `json:"customer"`
		Seats    int    `json:"seats"`
	}
	Sale struct {
		Left int `json:"left"`
	}
)

// Tally asks how many seats of a show were sold.
type Tally struct {
	Show string `json:"show"`
}

var (
	sold  = tidings.Define[SeatsSold]("boxoffice", "SeatsSold", "v1", tidings.Entity("sale"))
	sell  = tidings.DefineRequest[SellSeats, Sale]("boxoffice", "SellSeats", "v1")
	tally = tidings.DefineRequest[Tally, int]("boxoffice", "Tally", "v1")
)

const schema = `
CREATE TABLE IF NOT EXISTS shows (name TEXT PRIMARY KEY, free BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS tallies (show TEXT PRIMARY KEY, seats BIGINT NOT NULL);
INSERT INTO shows VALUES ('hamlet', 100), ('macbeth', 100) ON CONFLICT DO NOTHING;`

func main() {
	os.Exit(run(context.Background()))
}

func run(ctx context.Context) int {
	c, err := connect.Open(ctx, connect.Config{
		Broker: cmp.Or(os.Getenv("BROKER"), "embedded:data"),
		Store:  cmp.Or(os.Getenv("STORE"), "embedded:data"),
		SQL:    true,                                    // the same SQL for SQLite and PostgreSQL
		Attach: len(os.Args) > 1 && os.Args[1] != "run", // tools look into the service that runs
	})
	if err != nil {
		return cli.Report(os.Stderr, "boxoffice", err)
	}
	defer c.Close() //nolint:errcheck // what was acknowledged is stored already
	if _, err = c.DB.ExecContext(ctx, schema); err != nil {
		return cli.Report(os.Stderr, "boxoffice", err)
	}
	app := tidings.New(tidings.Config{Service: "boxoffice", Broker: c.Broker, Store: c.Store})
	register(app, c.DB)
	serve(app, "127.0.0.1:8080")
	return cli.Run(ctx, app)
}

// register says what the service consists of.
func register(app *tidings.App, db *sql.DB) {
	app.Emits(sold)
	app.Serve(
		tidings.HandleTx(sell, sellSeats),
		tidings.Serve(tally, func(ctx context.Context, t Tally) (seats int, err error) {
			return seats, db.QueryRowContext(ctx, `SELECT COALESCE(SUM(seats), 0) FROM tallies WHERE show = $1`, t.Show).Scan(&seats)
		}),
	)
	app.Subscribe(tidings.Subscription{Name: "mailer", Retry: tidings.Retry{Attempts: 3}}, tidings.On(sold, mail))
	app.Subscribe(tidings.Subscription{Name: "tally"}, tidings.OnTx(sold, count))
}

// sellSeats changes the row and returns the event: both are committed together, or neither.
func sellSeats(ctx context.Context, tx *store.SQLTx, s SellSeats) (Sale, tidings.Events, error) {
	var left int
	err := tx.QueryRowContext(ctx, `UPDATE shows SET free = free - $1 WHERE name = $2 AND free >= $1 RETURNING free`, s.Seats, s.Show).Scan(&left)
	if errors.Is(err, sql.ErrNoRows) {
		return Sale{}, nil, fmt.Errorf("%s has no %d seats left: %w", s.Show, s.Seats, tidings.CodeConflict)
	}
	return Sale{Left: left}, tidings.Events{sold.New(SeatsSold(s))}, err
}

// mail may be called again for a message: a mail can't be rolled back.
func mail(_ context.Context, e SeatsSold) error {
	if e.Customer == "" {
		return errors.New("the customer has no address")
	}
	_, err := fmt.Fprintf(os.Stdout, "mail to %s: %d seats for %s\n", e.Customer, e.Seats, e.Show)
	return err
}

// count takes effect exactly once for each message: its write and the note that the message was handled are one transaction.
func count(ctx context.Context, tx *store.SQLTx, e SeatsSold) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO tallies VALUES ($1, $2) ON CONFLICT (show) DO UPDATE SET seats = tallies.seats + EXCLUDED.seats`, e.Show, e.Seats)
	return err
}

// serve answers HTTP requests while the app runs.
func serve(app *tidings.App, address string) {
	mux := http.NewServeMux()
	mux.Handle("/sales", httpapi.Handler(app, sell, httpapi.Config{}))
	mux.Handle("/tally", httpapi.Handler(app, tally, httpapi.Config{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	app.OnStart(func(ctx context.Context) error {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return err
		}
		go server.Serve(listener) //nolint:errcheck // it ends with Shutdown
		_, err = fmt.Fprintln(os.Stdout, "selling at http://"+address)
		return err
	})
	app.OnStop(server.Shutdown)
}
