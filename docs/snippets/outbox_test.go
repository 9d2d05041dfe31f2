package snippets_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

// place inserts an order and its event in one transaction.
func place(ctx context.Context, app *tidings.App, order OrderPlaced) error {
	return tidings.InTx(ctx, app, func(ctx context.Context, tx *store.SQLTx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO orders VALUES ($1, $2)`, order.OrderID, order.Cents); err != nil {
			return err // nothing is sent
		}
		return placed.Publish(ctx, app.Outbox(tx), order)
	})
}

// placeIn does so in a transaction of the caller's, who publishes last and commits.
func placeIn(ctx context.Context, app *tidings.App, tx *sql.Tx, order OrderPlaced) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO orders VALUES ($1, $2)`, order.OrderID, order.Cents); err != nil {
		return err
	}
	return placed.Publish(ctx, app.Outbox(sqlite.Join(tx)), order)
}

// pack is a reaction whose effect happens once: its row, its event, and the note that it has handled the message are one transaction.
func pack(app *tidings.App) tidings.Reaction {
	return tidings.OnTx(placed, func(ctx context.Context, tx *store.SQLTx, e OrderPlaced) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO parcels VALUES ($1)`, e.OrderID); err != nil {
			return err
		}
		return packed.Publish(ctx, app.Outbox(tx), OrderPacked{OrderID: e.OrderID})
	})
}

// remind publishes an event that the outbox keeps for an hour.
func remind(ctx context.Context, app *tidings.App, tx *store.SQLTx, order OrderPlaced) error {
	later := placed.New(order)
	later.NotBefore = time.Now().Add(time.Hour)
	return app.Outbox(tx).Publish(ctx, later)
}

func Example_outbox() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "outbox-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := sqlite.Open(ctx, filepath.Join(dir, "shop.db"), sqlite.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	if _, err := s.DB().ExecContext(ctx, `CREATE TABLE orders (id TEXT PRIMARY KEY, cents BIGINT); CREATE TABLE parcels (id TEXT PRIMARY KEY)`); err != nil {
		fmt.Println(err)
	}
	app := tidings.New(tidings.Config{Service: "shop", Broker: memory.New(memory.Config{}), Store: s})
	app.Emits(placed, packed)
	app.Subscribe(tidings.Subscription{Name: "packer"}, pack(app))
	parcels, done := make(chan string, 2), make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "printer"}, tidings.On(packed, func(_ context.Context, e OrderPacked) error {
		parcels <- e.OrderID
		return nil
	}))
	app.OnStart(func(ctx context.Context) error {
		if err := place(ctx, app, OrderPlaced{OrderID: "o-1"}); err != nil {
			return err
		}
		fmt.Println("again:", place(ctx, app, OrderPlaced{OrderID: "o-1"}) != nil)
		tx, err := s.DB().BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := placeIn(ctx, app, tx, OrderPlaced{OrderID: "o-2"}); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		return tidings.InTx(ctx, app, func(ctx context.Context, tx *store.SQLTx) error {
			return remind(ctx, app, tx, OrderPlaced{OrderID: "o-3"})
		})
	})
	go func() {
		defer close(done)
		one, other := <-parcels, <-parcels
		fmt.Println("two parcels:", one != other)
	}()
	runUntil(app, done)
	// Output:
	// again: true
	// two parcels: true
}
