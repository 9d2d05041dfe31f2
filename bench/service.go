//go:build unix

package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
)

// publishers is how many goroutines publish at once, and manyPerCall how many messages each usually hands over in one call. Together they
// are nearly as many as franz-go and nats.go have on their way when nobody waits for single messages.
const (
	publishers  = 16
	manyPerCall = 500
)

// service is an app with one event. Its name is new each time, so that nothing of an earlier round is read.
type service struct {
	app   *tidings.App
	event *tidings.Event[cart]
}

// newService makes an app that emits the event of a domain, on a topic of that name or, if topic is empty, on its usual one.
func newService(b broker.Broker, domain, topic string) *service {
	return newServiceOn(tidings.Config{Broker: b}, domain, topic)
}

// newServiceOn is newService with a store, if cfg has one.
func newServiceOn(cfg tidings.Config, domain, topic string) *service {
	s := &service{}
	cfg.Service, cfg.Owns, cfg.Log = unique("s"), []string{domain}, slog.New(slog.DiscardHandler)
	if topic == "" {
		s.event = tidings.Define[cart](domain, "CartCheckedOut", "v1")
	} else {
		s.event = tidings.Define[cart](domain, "CartCheckedOut", "v1", tidings.Topic(topic))
		cfg.Topology = tidings.Fixed{}
	}
	s.app = tidings.New(cfg)
	s.app.Emits(s.event)
	return s
}

// start runs an app until stop is called. It returns when the app is ready.
func start(ctx context.Context, app *tidings.App) (stop func() error, err error) {
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(running) }()
	select {
	case <-app.Ready():
		return func() error { cancel(); return <-ended }, nil
	case err := <-ended:
		cancel()
		return nil, err
	}
}

// publish publishes n messages, perCall of them with each call, from several goroutines.
func (s *service) publish(ctx context.Context, n, perCall int) error {
	return together(publishers, func(p int) error {
		var messages []tidings.Message
		for i := p; i < n; i += publishers {
			if messages = append(messages, s.event.New(newCart(i))); len(messages) == perCall {
				if err := s.app.Direct().Publish(ctx, messages...); err != nil {
					return err
				}
				messages = messages[:0]
			}
		}
		return s.app.Direct().Publish(ctx, messages...)
	})
}

// together calls do in several goroutines.
func together(goroutines int, do func(i int) error) error {
	errs := make([]error, goroutines)
	var working sync.WaitGroup
	for i := range goroutines {
		working.Go(func() { errs[i] = do(i) })
	}
	working.Wait()
	return errors.Join(errs...)
}

// eachCart calls do for n carts, in several goroutines.
func eachCart(goroutines, n int, do func(c cart) error) error {
	return together(goroutines, func(g int) error {
		for i := g; i < n; i += goroutines {
			if err := do(newCart(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// endToEnd publishes and consumes at the same time.
func (s *service) endToEnd(ctx context.Context, t *trial, perCall int) error {
	var handled sync.WaitGroup
	handled.Add(t.n)
	s.app.Subscribe(tidings.Subscription{Name: "count"}, tidings.On(s.event, func(context.Context, cart) error {
		handled.Done()
		return nil
	}))
	stop, err := start(ctx, s.app)
	if err != nil {
		return err
	}
	t.start()
	if err := s.publish(ctx, t.n, perCall); err != nil {
		return errors.Join(err, stop())
	}
	handled.Wait()
	t.stop()
	return stop()
}

// consume handles the n messages that are in the topic.
func (s *service) consume(ctx context.Context, t *trial) error {
	handled, all := t.countdown()
	return s.consumeWith(ctx, tidings.Subscription{Name: "count"}, all, func(context.Context, cart) error {
		handled()
		return nil
	})
}

// consumeWith handles messages until all is closed.
func (s *service) consumeWith(ctx context.Context, sub tidings.Subscription, all <-chan struct{}, handle func(context.Context, cart) error) error {
	s.app.Subscribe(sub, tidings.On(s.event, handle))
	stop, err := start(ctx, s.app)
	if err != nil {
		return err
	}
	select {
	case <-all:
		return stop()
	case <-ctx.Done():
		return errors.Join(ctx.Err(), stop())
	}
}
