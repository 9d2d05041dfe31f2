//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/nats"
)

// live compares the way from publish to listener, one message at a time: its inverse rate is the latency.
func live(url string) comparison {
	return comparison{title: "live, one at a time", n: 5_000, measures: []measure{
		{"raw core NATS", func(ctx context.Context, n int) error { return rawLive(ctx, url, n) }},
		{"tidings", func(ctx context.Context, n int) error { return tidingsLive(ctx, url, n) }},
	}}
}

func rawLive(ctx context.Context, url string, n int) error {
	nc, err := natsgo.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	subject := unique("live")
	heard := make(chan struct{})
	if _, err := nc.Subscribe(subject, func(m *natsgo.Msg) {
		var c cart
		if json.Unmarshal(m.Data, &c) == nil {
			heard <- struct{}{}
		}
	}); err != nil {
		return err
	}
	if err := nc.FlushWithContext(ctx); err != nil && !errors.Is(err, natsgo.ErrNoDeadlineContext) {
		return err
	}
	for i := range n {
		data, err := json.Marshal(newCart(i))
		if err != nil {
			return err
		}
		if err := nc.Publish(subject, data); err != nil {
			return err
		}
		<-heard
	}
	return nil
}

func tidingsLive(ctx context.Context, url string, n int) error {
	b, err := nats.Open(ctx, url, nats.Config{})
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // nothing is stored
	name := unique("live")
	event := tidings.Define[cart](name, "CartCheckedOut", "v1")
	app := tidings.New(tidings.Config{Service: name, Broker: b, Log: slog.New(slog.DiscardHandler)})
	app.Emits(event)
	heard := make(chan struct{})
	app.Listen(tidings.Listener{}, tidings.On(event, func(context.Context, cart) error {
		heard <- struct{}{}
		return nil
	}))
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(running) }()
	select {
	case <-app.Ready():
	case err := <-ended:
		cancel()
		return err
	}
	for i := range n {
		if err := event.Publish(ctx, app.Live(), newCart(i)); err != nil {
			cancel()
			return errors.Join(err, <-ended)
		}
		<-heard
	}
	cancel()
	return errors.Join(<-ended, deleteTopics(ctx, url, &service{event: event}))
}
