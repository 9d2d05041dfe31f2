package tidings_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// newBox is an app that emits booked.
func newBox() *tidings.App {
	app := tidings.New(tidings.Config{Service: "box", Broker: memory.New(memory.Config{}), Store: memorystore.New()})
	app.Emits(booked)
	return app
}

// Modules start after those that they depend on, and stop before them.
func ExampleApp_AddModule() {
	app := newBox()
	done := make(chan struct{})
	web, database := app.AddModule("web", "database"), app.AddModule("database")
	database.OnStart(func(context.Context) error { fmt.Println("open the database"); return nil })
	database.OnStop(func(context.Context) error { fmt.Println("close the database"); return nil })
	web.OnStart(func(context.Context) error { fmt.Println("listen"); close(done); return nil })
	web.OnStop(func(context.Context) error { fmt.Println("shut down"); return nil })
	runUntil(app, done)
	// Output:
	// open the database
	// listen
	// shut down
	// close the database
}

// A module that must not import the emitter finds its events in the catalog.
func ExampleModule_Discover() {
	app := newBox()
	done := make(chan struct{})
	audit := app.AddModule("audit")
	audit.Discover(func(c *tidings.Catalog) error {
		for _, e := range c.Events("box") {
			audit.Subscribe(tidings.Subscription{Name: "audit"}, tidings.On(e.Event(), func(_ context.Context, payload tidings.Raw) error {
				fmt.Println(e.Type(), string(payload))
				close(done)
				return nil
			}))
		}
		return nil
	})
	app.OnStart(func(ctx context.Context) error { return booked.Publish(ctx, app.Direct(), SeatsBooked{"Hamlet", 2}) })
	runUntil(app, done)
	// Output: box.SeatsBooked.v1 {"show":"Hamlet","seats":2}
}

// A listener hears what is published while it listens, live messages too, and remembers nothing.
func ExampleModule_Listen() {
	app := newBox()
	done := make(chan struct{})
	app.Listen(tidings.Listener{}, tidings.On(booked, func(_ context.Context, e SeatsBooked) error {
		fmt.Println("show on every screen:", e.Seats)
		close(done)
		return nil
	}))
	app.OnStart(func(ctx context.Context) error { return booked.Publish(ctx, app.Live(), SeatsBooked{"Hamlet", 2}) })
	runUntil(app, done)
	// Output: show on every screen: 2
}

// A subscription to Any gets all events of its topics.
func ExampleAny() {
	app := newBox()
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "archive", Topics: []string{"dev.box.public.boxes.v1"}},
		tidings.On(tidings.Any(), func(ctx context.Context, payload tidings.Raw) error {
			m, _ := tidings.MessageFrom(ctx)
			fmt.Println(m.Type, m.Key, string(payload))
			close(done)
			return nil
		}))
	app.OnStart(func(ctx context.Context) error { return booked.Publish(ctx, app.Direct(), SeatsBooked{"Hamlet", 2}) })
	runUntil(app, done)
	// Output: box.SeatsBooked.v1 Hamlet {"show":"Hamlet","seats":2}
}

// A batch in one transaction: all of it takes effect once.
func ExampleOnBatchTx() {
	app := newBox()
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "sum"},
		tidings.OnBatchTx(booked, tidings.Batch{Size: 100}, func(_ context.Context, _ *memorystore.Tx, batch []*tidings.Delivery[SeatsBooked]) error {
			seats := 0
			for _, d := range batch {
				seats += d.Payload.Seats
			}
			fmt.Println("seats:", seats) // with a database: one UPDATE for the batch
			close(done)
			return nil
		}))
	app.OnStart(func(ctx context.Context) error {
		return app.Direct().Publish(ctx, booked.New(SeatsBooked{"Hamlet", 2}), booked.New(SeatsBooked{"Hamlet", 3}))
	})
	runUntil(app, done)
	// Output: seats: 5
}

// What is published in a transaction is sent when it commits, and only then.
func ExampleInTx() {
	app := newBox()
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "printer"}, tidings.On(booked, func(_ context.Context, e SeatsBooked) error {
		fmt.Println("print", e.Seats)
		close(done)
		return nil
	}))
	app.OnStart(func(ctx context.Context) error {
		for _, err := range []error{errors.New("the card was refused"), nil} {
			_ = tidings.InTx(ctx, app, func(ctx context.Context, tx *memorystore.Tx) error {
				seats := 2
				if err != nil {
					seats = 1
				}
				return errors.Join(booked.Publish(ctx, app.Outbox(tx), SeatsBooked{"Hamlet", seats}), err)
			})
		}
		return nil
	})
	runUntil(app, done)
	// Output: print 2
}

// Receipts say where messages were stored.
func ExampleDirect_Send() {
	app := newBox()
	receipts, err := app.Direct().Send(context.Background(), booked.New(SeatsBooked{"Hamlet", 2}), booked.New(SeatsBooked{"Hamlet", 3}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(receipts[0].Topic, receipts[0].Partition == receipts[1].Partition, receipts[0].Sequence < receipts[1].Sequence)
	// Output: dev.box.public.boxes.v1 true true
}

func ExampleCodeOf() {
	err := fmt.Errorf("no show is called Macbeth: %w", tidings.CodeNotFound)
	fmt.Println(tidings.CodeOf(err))
	fmt.Println(tidings.CodeOf(errors.New("disk full")))
	// Output:
	// not-found
	// internal
}

// Other systems that take an idempotency key get one that is the same in every attempt.
func ExampleIdempotencyKey() {
	keys := make(chan string, 2)
	app := newBox()
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "pay"}, tidings.On(booked, func(ctx context.Context, _ SeatsBooked) error {
		keys <- tidings.IdempotencyKey(ctx) // with a payment service: charge(ctx, key, …)
		if len(keys) < 2 {
			return errors.New("the connection was lost")
		}
		first, second := <-keys, <-keys
		fmt.Println("the same key:", first == second)
		close(done)
		return nil
	}))
	app.OnStart(func(ctx context.Context) error { return booked.Publish(ctx, app.Direct(), SeatsBooked{"Hamlet", 2}) })
	runUntil(app, done)
	// Output: the same key: true
}
