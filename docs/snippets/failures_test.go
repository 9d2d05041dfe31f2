package snippets_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/tidingstest"
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
	OnFailure:   tidings.Park, // or HoldKey, or Block
	Breaker:     tidings.Breaker{Failures: 5, Wait: 10 * time.Second},
}

func TestWhatAReactionMaySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outcomes := map[string]error{"fine": nil, "gone": errSoldOut, "bad": errNoAddress, "busy": errBusy, "down": errDown, "broken": errors.New("no")}
		calls := map[string]int{}
		k := tidingstest.New(t, tidings.Config{Service: "shop"}, func(app *tidings.App) {
			s := careful
			s.Retry.Attempts, s.Concurrency = 3, 1
			s.Breaker = tidings.Breaker{} // these failures are no outage
			app.Subscribe(s, tidings.On(placed, func(_ context.Context, e OrderPlaced) error {
				if calls[e.OrderID]++; e.OrderID == "down" && calls[e.OrderID] == 10 {
					return nil // it is back
				}
				return answer(outcomes[e.OrderID])
			}))
		})
		for id := range outcomes {
			k.Deliver(placed.New(OrderPlaced{OrderID: id}))
		}
		want := map[string]int{"fine": 1, "gone": 1, "bad": 1, "busy": 3, "down": 10, "broken": 3}
		if dead := k.DeadLetters(); !maps.Equal(calls, want) || len(dead) != 3 {
			t.Errorf("calls %v, want %v; %d dead letters", calls, want, len(dead))
		}
	})
}
