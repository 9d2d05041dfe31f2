package tidings_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// BookSeats asks for seats of a show.
type BookSeats struct {
	Show  string `json:"show"`
	Seats int    `json:"seats"`
}

// Validate refuses what can't be right.
func (b BookSeats) Validate() error {
	if b.Seats < 1 {
		return fmt.Errorf("%d seats: want one or more", b.Seats)
	}
	return nil
}

// Booking is the answer to BookSeats.
type Booking struct {
	Number int `json:"number"`
}

var (
	freeSeats = tidings.DefineRequest[string, int]("box", "FreeSeats", "v1")
	bookSeats = tidings.DefineRequest[BookSeats, Booking]("box", "BookSeats", "v1")
)

// boxOffice makes an app, and runs it while do is called.
func boxOffice(register func(app *tidings.App), do func(ctx context.Context, app *tidings.App)) {
	app := tidings.New(tidings.Config{Service: "box", Broker: memory.New(memory.Config{}), Store: memorystore.New()})
	register(app)
	done := make(chan struct{})
	app.OnStart(func(context.Context) error {
		go func() {
			defer close(done)
			do(context.Background(), app)
		}()
		return nil
	})
	runUntil(app, done)
}

func ExampleServe() {
	boxOffice(func(app *tidings.App) {
		app.Serve(tidings.Serve(freeSeats, func(_ context.Context, show string) (int, error) {
			if show != "Hamlet" {
				return 0, fmt.Errorf("no show is called %s: %w", show, tidings.CodeNotFound)
			}
			return 12, nil
		}))
	}, func(ctx context.Context, app *tidings.App) {
		fmt.Println(freeSeats.Call(ctx, app, "Hamlet"))
		_, err := freeSeats.Call(ctx, app, "Macbeth")
		fmt.Println(err, errors.Is(err, tidings.CodeNotFound))
	})
	// Output:
	// 12 <nil>
	// tidings: call box.FreeSeats.v1: not-found: no show is called Macbeth true
}

// A module that calls says so, and Check finds out that nobody serves.
func ExampleModule_Calls() {
	app := tidings.New(tidings.Config{Service: "web", Broker: memory.New(memory.Config{})})
	app.Calls(freeSeats)
	for _, p := range app.Problems(context.Background()) {
		fmt.Println(p.Text)
	}
	// Output: module web calls box.FreeSeats.v1, which no module of this app serves: add its module, or set Config.Remote to ask other processes
}

func ExampleRequest_Call() {
	boxOffice(func(app *tidings.App) {
		app.Serve(tidings.Handle(bookSeats, func(context.Context, BookSeats) (Booking, tidings.Events, error) { return Booking{Number: 1}, nil, nil }))
	}, func(ctx context.Context, app *tidings.App) {
		for seats := range 2 {
			switch booking, err := bookSeats.Call(ctx, app, BookSeats{"Hamlet", seats}); tidings.CodeOf(err) {
			case "":
				fmt.Println("booked", booking.Number)
			case tidings.CodeInvalid, tidings.CodeConflict:
				fmt.Println("refused:", err)
			default:
				fmt.Println("try later:", err)
			}
		}
	})
	// Output:
	// refused: tidings: call box.BookSeats.v1: invalid: 0 seats: want one or more
	// booked 1
}

// The events that a command returns are published once it has succeeded.
func ExampleHandle() {
	heard := make(chan int)
	boxOffice(func(app *tidings.App) {
		app.Emits(booked)
		app.Subscribe(tidings.Subscription{Name: "printer"}, tidings.On(booked, func(_ context.Context, e SeatsBooked) error {
			heard <- e.Seats
			return nil
		}))
		app.Serve(tidings.Handle(bookSeats, func(_ context.Context, b BookSeats) (Booking, tidings.Events, error) {
			return Booking{Number: 1}, tidings.Events{booked.New(SeatsBooked(b))}, nil
		}))
	}, func(ctx context.Context, app *tidings.App) {
		fmt.Println(bookSeats.Call(ctx, app, BookSeats{"Hamlet", 2}))
		fmt.Println("print", <-heard, "tickets")
	})
	// Output:
	// {1} <nil>
	// print 2 tickets
}

// In a transaction, the command's writes, its events and the note about its idempotency key are one.
func ExampleHandleTx() {
	bookings := 0
	boxOffice(func(app *tidings.App) {
		app.Emits(booked)
		app.Serve(tidings.HandleTx(bookSeats, func(_ context.Context, _ *memorystore.Tx, b BookSeats) (Booking, tidings.Events, error) {
			bookings++ // with a database: tx.ExecContext(ctx, "INSERT INTO bookings …")
			return Booking{Number: bookings}, tidings.Events{booked.New(SeatsBooked(b))}, nil
		}))
	}, func(ctx context.Context, app *tidings.App) {
		for range 2 { // the second time somebody did not see the answer
			fmt.Println(bookSeats.Call(ctx, app, BookSeats{"Hamlet", 2}, tidings.Once("order-7")))
		}
	})
	// Output:
	// {1} <nil>
	// {1} <nil>
}
