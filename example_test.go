package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// SeatsBooked is published when seats of a show were booked.
type SeatsBooked struct {
	Show  string `json:"show" tidings:"key"`
	Seats int    `json:"seats"`
}

// SeatsTold is published when the box office was told.
type SeatsTold struct {
	Show string `json:"show" tidings:"key"`
}

var (
	booked = tidings.Define[SeatsBooked]("box", "SeatsBooked", "v1")
	told   = tidings.Define[SeatsTold]("box", "SeatsTold", "v1", tidings.Internal)
)

// runUntil runs an app until done is closed, and waits for its end.
func runUntil(app *tidings.App, done <-chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	select {
	case <-done:
		cancel()
	case <-ctx.Done():
	}
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
}

func Example() {
	app := tidings.New(tidings.Config{Service: "box", Broker: memory.New(memory.Config{}), Store: memorystore.New()})
	app.Emits(booked)
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "printer"}, tidings.On(booked, func(_ context.Context, e SeatsBooked) error {
		fmt.Printf("print %d tickets for %s\n", e.Seats, e.Show)
		close(done)
		return nil
	}))
	app.OnStart(func(ctx context.Context) error {
		return tidings.InTx(ctx, app, func(ctx context.Context, tx *memorystore.Tx) error {
			return booked.Publish(ctx, app.Outbox(tx), SeatsBooked{Show: "Hamlet", Seats: 2})
		})
	})
	runUntil(app, done)
	// Output: print 2 tickets for Hamlet
}

func ExampleDefine() {
	m := booked.New(SeatsBooked{Show: "Hamlet", Seats: 2})
	fmt.Println(m.Type, m.Key, string(m.Data))
	// Output: box.SeatsBooked.v1 Hamlet {"show":"Hamlet","seats":2}
}

func ExampleNamed() {
	m := booked.New(SeatsBooked{Show: "Hamlet", Seats: 2})
	payload, err := tidings.Named("box", "SeatsBooked", "v1").In(m)
	fmt.Println(string(payload), err)
	// Output: {"show":"Hamlet","seats":2} <nil>
}

func ExampleApp_Check() {
	app := tidings.New(tidings.Config{Service: "box", Broker: memory.New(memory.Config{})})
	app.Subscribe(tidings.Subscription{Name: "printer"})
	for _, p := range app.Problems(context.Background()) {
		fmt.Println(p.Text)
	}
	// Output: subscription "printer" has no reactions: pass On, OnTx, OnBatch or OnBatchTx
}

// A reaction in a transaction: what it writes, what it publishes, and that it has handled the message are committed together.
func ExampleOnTx() {
	app := tidings.New(tidings.Config{Service: "box", Broker: memory.New(memory.Config{}), Store: memorystore.New()})
	app.Emits(booked, told)
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "teller"},
		tidings.OnTx(booked, func(ctx context.Context, tx *memorystore.Tx, e SeatsBooked) error {
			return told.Publish(ctx, app.Outbox(tx), SeatsTold{Show: e.Show})
		}))
	app.Subscribe(tidings.Subscription{Name: "log"}, tidings.On(told, func(ctx context.Context, e SeatsTold) error {
		m, _ := tidings.MessageFrom(ctx)
		fmt.Println(e.Show, "has a cause:", m.CausationID != "")
		close(done)
		return nil
	}))
	app.OnStart(func(ctx context.Context) error {
		return booked.Publish(ctx, app.Direct(), SeatsBooked{Show: "Hamlet", Seats: 2})
	})
	runUntil(app, done)
	// Output: Hamlet has a cause: true
}

// Each message of a batch has its own answer; one bad message does not block the others.
func ExampleOnBatch() {
	errBusy := errors.New("busy")
	check := func(SeatsBooked) error { return nil }
	reaction := tidings.OnBatch(booked, tidings.Batch{Size: 10, Wait: 5 * time.Second},
		func(_ context.Context, batch []*tidings.Delivery[SeatsBooked]) error {
			for _, d := range batch {
				switch err := check(d.Payload); {
				case err == nil:
					d.Ack()
				case errors.Is(err, errBusy):
					d.Nak(5 * time.Second)
				default:
					d.Term(err)
				}
			}
			return nil
		})
	app := tidings.New(tidings.Config{Service: "box", Broker: memory.New(memory.Config{})})
	app.Subscribe(tidings.Subscription{Name: "audit"}, reaction)
	fmt.Println(app.Check(context.Background()))
	// Output: <nil>
}

// The error that a reaction returns is the acknowledgement.
func ExampleDeadLetter() {
	handle := func(_ context.Context, e SeatsBooked) error {
		switch {
		case e.Seats == 0:
			return tidings.Discard(errors.New("nothing was booked"))
		case e.Seats < 0:
			return tidings.DeadLetter(errors.New("a negative number of seats"))
		case e.Seats > 100:
			return tidings.RetryAfter(time.Minute, errors.New("the printer is out of paper"))
		}
		return nil
	}
	fmt.Println(handle(context.Background(), SeatsBooked{Seats: -1}))
	// Output: a negative number of seats
}

func ExampleTopology() {
	for _, t := range []tidings.Topology{tidings.Scoped{Env: "prod"}, tidings.Shared{}} {
		publish, err := t.PublishTopic("box", booked.Definition())
		if err != nil {
			fmt.Println(err)
		}
		read, err := t.SubscribeTopic("box", booked.Definition())
		if err != nil {
			fmt.Println(err)
		}
		fmt.Println(publish, "→", read)
	}
	// Output:
	// prod.box.public.boxes.v1 → prod.box.public.boxes.v1
	// events → events.SeatsBooked
}
