//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/embedded"
)

// liveDuels compare what is sent to whoever listens, and what is asked and answered, with core NATS.
func liveDuels(url string) []duel {
	duels := []duel{{title: "live, embedded NATS: from before encoding to the listener", n: 200, open: openEmbedded}}
	if url == "" {
		return duels
	}
	return append(duels,
		duel{title: "live, nats-server: from before encoding to the listener", n: 200, open: func(ctx context.Context, c *corner) error {
			return openServer(ctx, c, url)
		}},
		duel{title: "live, nats-server: request and answer, between two connections", n: 200, open: func(ctx context.Context, c *corner) error {
			return openRequests(ctx, c, url)
		}},
	)
}

// openServer has one connection for each contender, which speaks and listens.
func openServer(ctx context.Context, c *corner, url string) error {
	for _, headers := range []bool{false, true} {
		nc, err := natsgo.Connect(url)
		if err != nil {
			return err
		}
		c.closing(func() error { nc.Close(); return nil })
		if err = c.rawLive(nc, headers); err != nil {
			return err
		}
	}
	b, err := nats.Open(ctx, url, nats.Config{})
	if err != nil {
		return err
	}
	c.closing(b.Close)
	return c.live(ctx, b)
}

// openEmbedded has a server in this process for core NATS, reached without a network as ours is.
func openEmbedded(ctx context.Context, c *corner) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	c.closing(func() error { return os.RemoveAll(dir) })
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: dir + "/raw", SyncAlways: true, DisableJetStreamBanner: true})
	if err != nil {
		return err
	}
	s.Start()
	c.closing(func() error { s.Shutdown(); s.WaitForShutdown(); return nil })
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("the server in this process did not start")
	}
	for _, headers := range []bool{false, true} {
		nc, err := natsgo.Connect("", natsgo.InProcessServer(s))
		if err != nil {
			return err
		}
		c.closing(func() error { nc.Close(); return nil })
		if err = c.rawLive(nc, headers); err != nil {
			return err
		}
	}
	node, err := embedded.Open(ctx, dir, embedded.Config{})
	if err != nil {
		return err
	}
	c.closing(node.Close)
	return c.live(ctx, node.Broker())
}

// rawName is what a case of core NATS is called.
func rawName(headers bool) string {
	if headers {
		return "core NATS, with our headers"
	}
	return "core NATS"
}

// rawLive adds core NATS with the same JSON work, bare or with the headers that make a message a CloudEvent.
func (c *corner) rawLive(nc *natsgo.Conn, headers bool) error {
	subject := unique("live")
	var sent atomic.Int64
	heard := make(chan time.Duration)
	if _, err := nc.Subscribe(subject, func(m *natsgo.Msg) {
		if decodes(m.Data) && (!headers || len(m.Header["ce-id"]) == 1) {
			heard <- time.Duration(time.Now().UnixNano() - sent.Load())
		}
	}); err != nil {
		return err
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	c.add(rawName(headers), func(_ context.Context, i int) (time.Duration, error) {
		sent.Store(time.Now().UnixNano())
		msg, err := rawMessage(subject, newCart(i), headers)
		if err == nil {
			err = nc.PublishMsg(msg)
		}
		if err != nil {
			return 0, err
		}
		return <-heard, nil
	})
	return nil
}

func rawMessage(subject string, c cart, headers bool) (*natsgo.Msg, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	msg := &natsgo.Msg{Subject: subject, Data: data}
	if !headers {
		return msg, nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	text := id.String()
	msg.Header = natsgo.Header{
		"ce-specversion": {"1.0"}, "ce-id": {text}, "ce-source": {"/bench"}, "ce-type": {subject + ".CartCheckedOut.v1"},
		"ce-subject": {c.ID}, "ce-partitionkey": {c.ID}, "ce-correlationid": {text}, "ce-time": {time.Now().UTC().Format(time.RFC3339Nano)},
		"ce-datacontenttype": {"application/json"},
	}
	return msg, nil
}

// live adds tidings.
func (c *corner) live(ctx context.Context, b broker.Broker) error {
	s := newService(b, unique("live"), "")
	var sent atomic.Int64
	heard := make(chan time.Duration)
	s.app.Listen(tidings.Listener{}, tidings.On(s.event, func(context.Context, cart) error {
		heard <- time.Duration(time.Now().UnixNano() - sent.Load())
		return nil
	}))
	stop, err := start(ctx, s.app)
	if err != nil {
		return err
	}
	c.closing(stop)
	c.add("tidings", func(ctx context.Context, i int) (time.Duration, error) {
		sent.Store(time.Now().UnixNano())
		if err := s.event.Publish(ctx, s.app.Live(), newCart(i)); err != nil {
			return 0, err
		}
		return <-heard, nil
	})
	return nil
}

// openRequests has two connections for each contender: who asks, and who answers.
func openRequests(ctx context.Context, c *corner, url string) error {
	for _, headers := range []bool{false, true} {
		if err := c.rawRequests(url, headers); err != nil {
			return err
		}
	}
	return c.requests(ctx, url)
}

// rawRequests adds core NATS, which answers a cart with itself.
func (c *corner) rawRequests(url string, headers bool) error {
	var ends [2]*natsgo.Conn
	for i := range ends {
		nc, err := natsgo.Connect(url)
		if err != nil {
			return err
		}
		c.closing(func() error { nc.Close(); return nil })
		ends[i] = nc
	}
	subject := unique("requests")
	if _, err := ends[1].QueueSubscribe(subject, "providers", func(m *natsgo.Msg) {
		go func() { // one request must not wait for another
			var asked cart
			if json.Unmarshal(m.Data, &asked) != nil {
				return
			}
			if answer, err := rawMessage(m.Reply, asked, headers); err == nil {
				_ = ends[1].PublishMsg(answer)
			}
		}()
	}); err != nil {
		return err
	}
	if err := ends[1].Flush(); err != nil {
		return err
	}
	c.add(rawName(headers), func(ctx context.Context, i int) (time.Duration, error) {
		began := time.Now()
		msg, err := rawMessage(subject, newCart(i), headers)
		if err != nil {
			return 0, err
		}
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		answer, err := ends[0].RequestMsgWithContext(limited, msg)
		if err == nil && !decodes(answer.Data) {
			err = errors.New("the answer is no cart")
		}
		return time.Since(began), err
	})
	return nil
}

// requests adds tidings between two apps.
func (c *corner) requests(ctx context.Context, url string) error {
	domain := unique("requests")
	request := tidings.DefineRequest[cart, cart](domain, "Echo", "v1")
	var apps [2]*tidings.App
	for i := range apps {
		b, err := nats.Open(ctx, url, nats.Config{})
		if err != nil {
			return err
		}
		c.closing(b.Close)
		own := unique("carts")
		if i == 1 {
			own = domain
		}
		s := newServiceOn(tidings.Config{Broker: b, Remote: true}, own, "")
		if apps[i] = s.app; i == 1 {
			s.app.Serve(tidings.Serve(request, func(_ context.Context, asked cart) (cart, error) { return asked, nil }))
		}
		stop, err := start(ctx, s.app)
		if err != nil {
			return err
		}
		c.closing(stop)
	}
	c.add("tidings", func(ctx context.Context, i int) (time.Duration, error) {
		began := time.Now()
		_, err := request.Call(ctx, apps[0], newCart(i))
		return time.Since(began), err
	})
	return nil
}
