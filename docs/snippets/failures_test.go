package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-go/tidings"
)

var (
	errNoAddress = errors.New("the customer has no address")
	errSoldOut   = errors.New("sold out")
	errBusy      = errors.New("the printer is busy")
	errDown      = errors.New("the mail server does not answer")
)

// answer is what a reaction says about what went wrong.
func answer(err error) error {
	switch {
	case errors.Is(err, errSoldOut):
		return tidings.Discard(err) // a business outcome: counted and logged, not tried again
	case errors.Is(err, errNoAddress):
		return tidings.DeadLetter(err) // trying again can't help
	case errors.Is(err, errBusy):
		return tidings.RetryAfter(time.Minute, err) // try again in a minute; it counts as an attempt
	case errors.Is(err, errDown):
		return tidings.Unavailable(err) // not the message's fault: wait for it, as long as it takes
	}
	return err // nil is done; any other error is tried again with growing waits
}

// careful is a subscription with everything said.
var careful = tidings.Subscription{
	Name:        "mailer",
	Concurrency: 16,               // keys at once in this process
	Timeout:     30 * time.Second, // of the context of one call
	Retry:       tidings.Retry{Attempts: 10, Min: 100 * time.Millisecond, Max: 30 * time.Second},
	OnFailure:   tidings.Park, // or Block
}

func Example_failures() {
	app := newApp("shop")
	app.Emits(placed)
	calls, done := 0, make(chan struct{})
	s := careful
	s.Retry = tidings.Retry{Attempts: 3, Min: time.Millisecond}
	app.Subscribe(s, tidings.On(placed, func(_ context.Context, e OrderPlaced) error {
		switch calls++; {
		case e.OrderID == "last":
			close(done)
		case e.OrderID == "poison":
			return errors.New("no")
		}
		return answer(nil)
	}))
	app.OnStart(func(ctx context.Context) error {
		return app.Direct().Publish(ctx, placed.New(OrderPlaced{OrderID: "poison"}), placed.New(OrderPlaced{OrderID: "last"}))
	})
	runUntil(app, done)
	fmt.Println(errors.Is(answer(errSoldOut), errSoldOut), answer(nil))
	// Output: true <nil>
}
