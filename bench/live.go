//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/nats"
)

// rawLive sends messages one at a time: its inverse rate is the latency from publish to listener.
func (n *natsServer) rawLive(ctx context.Context, t *trial) error {
	nc, err := natsgo.Connect(n.url)
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
	t.start()
	defer t.stop()
	for i := range t.n {
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

func (n *natsServer) live(ctx context.Context, t *trial) error {
	b, err := nats.Open(ctx, n.url, nats.Config{})
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // nothing is stored
	s := newService(b, unique("live"), "")
	heard := make(chan struct{})
	s.app.Listen(tidings.Listener{}, tidings.On(s.event, func(context.Context, cart) error {
		heard <- struct{}{}
		return nil
	}))
	stop, err := start(ctx, s.app)
	if err != nil {
		return err
	}
	t.start()
	for i := range t.n {
		if err := s.event.Publish(ctx, s.app.Live(), newCart(i)); err != nil {
			return errors.Join(err, stop())
		}
		<-heard
	}
	t.stop()
	return errors.Join(stop(), n.deleteTopics(ctx, s))
}
