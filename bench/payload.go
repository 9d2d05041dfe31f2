//go:build unix

package main

import (
	"context"
	"log/slog"
	"strconv"
	"sync"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
)

// line and cart are a payload of ordinary size: about 430 bytes of JSON.
type line struct {
	SKU      string  `json:"sku"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}

type cart struct {
	ID       string            `json:"id" tidings:"key"`
	Customer string            `json:"customer"`
	Currency string            `json:"currency"`
	Lines    []line            `json:"lines"`
	Tags     map[string]string `json:"tags"`
	Note     string            `json:"note"`
}

func newCart(i int) cart {
	return cart{
		ID: "3b241101-e2bb-4255-8caf-" + strconv.Itoa(100000000000+i%1000), Customer: "c-4711", Currency: "EUR",
		Lines: []line{{"A-100", 2, 19.99}, {"B-200", 1, 5.49}, {"C-300", 12, 0.99}, {"D-400", 3, 149}},
		Tags:  map[string]string{"channel": "web", "campaign": "autumn"},
		Note:  "Please ring twice; the bell is hard to hear from the kitchen when the radio is on.",
	}
}

// publishers is how many goroutines publish at once, and manyPerCall how many messages each usually hands over in one call.
const (
	publishers  = 8
	manyPerCall = 500
)

// service is an app with one subscription that counts down.
type service struct {
	app     *tidings.App
	event   *tidings.Event[cart]
	handled sync.WaitGroup
	stop    func() error
}

// newService starts an app on a broker. What the name is made of is new each time, so that nothing of an earlier round is read.
func newService(ctx context.Context, b broker.Broker, name string) (*service, error) {
	s := &service{event: tidings.Define[cart](name, "CartCheckedOut", "v1")}
	s.app = tidings.New(tidings.Config{Service: name, Broker: b, Log: slog.New(slog.DiscardHandler)})
	s.app.Emits(s.event)
	s.app.Subscribe(tidings.Subscription{Name: "count"}, tidings.On(s.event, func(context.Context, cart) error {
		s.handled.Done()
		return nil
	}))
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.app.Run(running) }()
	s.stop = func() error { cancel(); return <-ended }
	select {
	case <-s.app.Ready():
		return s, nil
	case err := <-ended:
		cancel()
		return nil, err
	}
}

// exchange publishes n messages, perCall of them with each call, and waits until all are handled.
func (s *service) exchange(ctx context.Context, n, perCall int) error {
	s.handled.Add(n)
	errs := make(chan error, publishers)
	for p := range publishers {
		go func() {
			var messages []tidings.Message
			for i := p; i < n; i += publishers {
				if messages = append(messages, s.event.New(newCart(i))); len(messages) == perCall {
					if err := s.app.Direct().Publish(ctx, messages...); err != nil {
						errs <- err
						return
					}
					messages = messages[:0]
				}
			}
			errs <- s.app.Direct().Publish(ctx, messages...)
		}()
	}
	for range publishers {
		if err := <-errs; err != nil {
			return err
		}
	}
	s.handled.Wait()
	return nil
}
