package tidings_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
)

// SeatsBookedV2 names the seats.
type SeatsBookedV2 struct {
	Show string   `json:"show" tidings:"key"`
	Rows []string `json:"rows"`
}

// booked2 is what becomes of booked.
var booked2 = tidings.Evolve(booked, "v2", func(old SeatsBooked) (SeatsBookedV2, error) {
	return SeatsBookedV2{Show: old.Show, Rows: strings.Split(strings.Repeat("?", old.Seats), "")}, nil
})

// A reaction to the new version handles old messages too.
func ExampleEvolve() {
	app := tidings.New(tidings.Config{Service: "box", Broker: memory.New(memory.Config{})})
	app.Emits(booked)
	done := make(chan struct{})
	app.Subscribe(tidings.Subscription{Name: "printer"}, tidings.On(booked2, func(_ context.Context, e SeatsBookedV2) error {
		fmt.Println(e.Show, "in", e.Rows)
		close(done)
		return nil
	}))
	app.OnStart(func(ctx context.Context) error { // as a service does that was not deployed yet
		return booked.Publish(ctx, app.Direct(), SeatsBooked{Show: "Hamlet", Seats: 2})
	})
	runUntil(app, done)
	// Output: Hamlet in [? ?]
}

// While readers of v1 live, every fact is told twice, and still has one effect in each subscription.
func ExampleTwins() {
	app := tidings.New(tidings.Config{Service: "box", Broker: memory.New(memory.Config{})})
	app.Emits(booked, booked2)
	printed := make(chan string)
	app.Subscribe(tidings.Subscription{Name: "old"}, tidings.On(booked, func(ctx context.Context, _ SeatsBooked) error {
		m, _ := tidings.MessageFrom(ctx)
		printed <- m.Type
		return nil
	}))
	app.OnStart(func(ctx context.Context) error {
		return app.Direct().Publish(ctx, tidings.Twins(
			booked2.New(SeatsBookedV2{Show: "Hamlet", Rows: []string{"A", "B"}}),
			booked.New(SeatsBooked{Show: "Hamlet", Seats: 2}))...)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		fmt.Println("old got", <-printed)
	}()
	runUntil(app, done)
	// Output: old got box.SeatsBooked.v1
}
