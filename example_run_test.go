package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-go/tidings"
)

// Run ends when its context does, after all that is in hand was finished. In a service the context is that of signal.NotifyContext.
func ExampleApp_Run() {
	app := newBox()
	ctx, stop := context.WithCancel(context.Background())
	app.OnStart(func(context.Context) error { fmt.Println("started"); stop(); return nil })
	app.OnStop(func(context.Context) error { fmt.Println("stopped"); return nil })
	fmt.Println(app.Run(ctx))
	// Output:
	// started
	// stopped
	// <nil>
}

// A subscription that is paused keeps what it has and takes no more.
func ExampleApp_Pause() {
	app := newBox()
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "printer"}, tidings.On(booked, func(_ context.Context, e SeatsBooked) error {
		fmt.Println("print", e.Seats)
		close(done)
		return nil
	}))
	app.OnStart(func(ctx context.Context) error {
		if err := app.Pause("printer"); err != nil { // out of paper
			return err
		}
		if err := booked.Publish(ctx, app.Direct(), SeatsBooked{"Hamlet", 2}); err != nil {
			return err
		}
		for _, s := range app.Stats() {
			fmt.Println(s.Subscription, "has handled", s.Handled)
		}
		return app.Resume("printer")
	})
	runUntil(app, done)
	// Output:
	// printer has handled 0
	// print 2
}

// What has nothing to do with the message is waited for, however long it takes, and is no failed attempt.
func ExampleUnavailable() {
	app := newBox()
	done := make(chan struct{})
	attempts := 0
	app.Subscribe(tidings.Subscription{Name: "mailer", Retry: tidings.Retry{Attempts: 1, Min: time.Millisecond, Max: time.Millisecond}},
		tidings.On(booked, func(context.Context, SeatsBooked) error {
			if attempts++; attempts < 5 {
				return tidings.Unavailable(errors.New("the mail server does not answer"))
			}
			fmt.Println("sent at the fifth attempt of one")
			close(done)
			return nil
		}))
	app.OnStart(func(ctx context.Context) error { return booked.Publish(ctx, app.Direct(), SeatsBooked{"Hamlet", 2}) })
	runUntil(app, done)
	// Output: sent at the fifth attempt of one
}

// A copy of every message goes to another topic, where it is the same message.
func ExampleModule_Forward() {
	app := newBox()
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "copy", Topics: []string{"dev.box.public.boxes.v1"}},
		tidings.On(tidings.Every(), func(ctx context.Context, _ tidings.Raw) error {
			m, _ := tidings.MessageFrom(ctx)
			return app.Forward(ctx, "partner.boxes", m)
		}))
	app.Subscribe(tidings.Subscription{Name: "partner", Topics: []string{"partner.boxes"}},
		tidings.On(tidings.Any(), func(ctx context.Context, payload tidings.Raw) error {
			place, _ := tidings.PlaceFrom(ctx)
			fmt.Println(place.Topic, string(payload))
			close(done)
			return nil
		}))
	app.OnStart(func(ctx context.Context) error { return booked.Publish(ctx, app.Direct(), SeatsBooked{"Hamlet", 2}) })
	runUntil(app, done)
	// Output: partner.boxes {"show":"Hamlet","seats":2}
}

// A batch that takes long says so, and Timeout begins anew.
func ExampleDelivery_InProgress() {
	app := newBox()
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "export", Timeout: time.Minute},
		tidings.OnBatch(booked, tidings.Batch{Size: 1}, func(_ context.Context, batch []*tidings.Delivery[SeatsBooked]) error {
			for _, d := range batch {
				fmt.Println("export", d.Payload.Show) // which may take half a minute
				d.InProgress()
			}
			close(done)
			return nil
		}))
	app.OnStart(func(ctx context.Context) error { return booked.Publish(ctx, app.Direct(), SeatsBooked{"Hamlet", 2}) })
	runUntil(app, done)
	// Output: export Hamlet
}

func ExampleDefineRequest() {
	seatsOf := tidings.DefineRequest[string, int]("box", "SeatsOf", "v1", tidings.Internal)
	boxOffice(func(app *tidings.App) {
		app.Serve(tidings.Serve(seatsOf, func(_ context.Context, show string) (int, error) { return 10 * len(show), nil }))
	}, func(ctx context.Context, app *tidings.App) {
		fmt.Println(seatsOf.Call(ctx, app, "Hamlet"))
	})
	// Output: 60 <nil>
}

// The catalog has everything that the app's modules emit.
func ExampleCatalog_All() {
	app := newBox()
	app.Emits(told)
	for _, e := range app.Catalog().All() {
		fmt.Println(e.Type(), e.Scope)
	}
	// Output:
	// box.SeatsBooked.v1 public
	// box.SeatsTold.v1 internal
}
