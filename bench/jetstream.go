//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/broker/nats"
)

// natsServer is the server.
type natsServer struct {
	url string
	// filled has the topic that consumers read.
	filled *service
}

func natsComparisons(url string, server process) []comparison {
	n := &natsServer{url: url}
	return []comparison{
		{title: "JetStream, publish", n: 10_000, server: server, measures: []measure{
			{"raw nats.go, asynchronously", n.rawPublish},
			{"tidings, 500 per call", n.publish},
		}},
		{title: "JetStream, consume", n: 80_000, server: server, prepare: n.fill, measures: []measure{
			{"raw nats.go", n.rawConsume},
			{"tidings", n.consume},
		}},
		{title: "JetStream, end to end", n: 10_000, server: server, measures: []measure{
			{"raw nats.go", n.rawEndToEnd},
			{"tidings", n.endToEnd},
		}},
	}
}

func unique(prefix string) string { return prefix + strconv.FormatInt(time.Now().UnixNano(), 36) }

// raw makes a connection, and a stream of its own unless it is given one.
func (n *natsServer) raw(ctx context.Context, stream string, do func(js jetstream.JetStream, s jetstream.Stream) error) error {
	nc, err := natsgo.Connect(n.url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		return err
	}
	if stream != "" {
		s, missing := js.Stream(ctx, stream)
		if missing != nil {
			return missing
		}
		return do(js, s)
	}
	name := unique("raw")
	s, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name + ".*"}, Storage: jetstream.FileStorage})
	if err != nil {
		return err
	}
	defer js.DeleteStream(context.WithoutCancel(ctx), name) //nolint:errcheck // the server may keep it
	return do(js, s)
}

func (n *natsServer) rawPublish(ctx context.Context, t *trial) error {
	return n.raw(ctx, "", func(js jetstream.JetStream, s jetstream.Stream) error {
		t.start()
		defer t.stop()
		return rawPublishAll(ctx, t.n, js, s)
	})
}

func rawPublishAll(ctx context.Context, n int, js jetstream.JetStream, s jetstream.Stream) error {
	for i := range n {
		data, err := json.Marshal(newCart(i))
		if err != nil {
			return err
		}
		if _, err := js.PublishAsync(s.CachedInfo().Config.Name+"."+strconv.Itoa(i%8), data, jetstream.WithStallWait(time.Minute)); err != nil {
			return err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rawRead handles messages with a new durable consumer until stop is called.
func rawRead(ctx context.Context, s jetstream.Stream, handled func()) (stop func(), err error) {
	consumer, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: unique("count"), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10_000,
	})
	if err != nil {
		return nil, err
	}
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		if decodes(m.Data()) && m.Ack() == nil {
			handled()
		}
	})
	if err != nil {
		return nil, err
	}
	return reading.Stop, nil
}

func (n *natsServer) rawConsume(ctx context.Context, t *trial) error {
	return n.raw(ctx, n.filled.stream(), func(_ jetstream.JetStream, s jetstream.Stream) error {
		handled, all := t.countdown()
		stop, err := rawRead(ctx, s, handled)
		if err != nil {
			return err
		}
		defer stop()
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

func (n *natsServer) rawEndToEnd(ctx context.Context, t *trial) error {
	return n.raw(ctx, "", func(js jetstream.JetStream, s jetstream.Stream) error {
		var handled sync.WaitGroup
		handled.Add(t.n)
		stop, err := rawRead(ctx, s, handled.Done)
		if err != nil {
			return err
		}
		defer stop()
		t.start()
		defer t.stop()
		if err := rawPublishAll(ctx, t.n, js, s); err != nil {
			return err
		}
		handled.Wait()
		return nil
	})
}

// with opens a broker.
func (n *natsServer) with(ctx context.Context, do func(b *nats.Broker) error) error {
	b, err := nats.Open(ctx, n.url, nats.Config{})
	if err != nil {
		return err
	}
	return errors.Join(do(b), b.Close())
}

func (n *natsServer) publish(ctx context.Context, t *trial) error {
	return n.with(ctx, func(b *nats.Broker) error {
		s := newService(b, unique("bench"), "")
		stop, err := start(ctx, s.app)
		if err != nil {
			return err
		}
		t.start()
		err = s.publish(ctx, t.n, manyPerCall)
		t.stop()
		return errors.Join(err, stop(), n.deleteTopics(ctx, s))
	})
}

// fill makes a topic with messages for all consumers to read.
func (n *natsServer) fill(ctx context.Context, messages int) (remove func() error, err error) {
	err = n.with(ctx, func(b *nats.Broker) error {
		n.filled = newService(b, unique("bench"), "")
		return n.filled.publish(ctx, messages, manyPerCall)
	})
	return func() error { return n.deleteTopics(ctx, n.filled) }, err
}

func (n *natsServer) consume(ctx context.Context, t *trial) error {
	return n.with(ctx, func(b *nats.Broker) error {
		return newService(b, n.filled.event.Definition().Domain, "").consume(ctx, t)
	})
}

func (n *natsServer) endToEnd(ctx context.Context, t *trial) error {
	return n.with(ctx, func(b *nats.Broker) error {
		s := newService(b, unique("bench"), "")
		return errors.Join(s.endToEnd(ctx, t, manyPerCall), n.deleteTopics(ctx, s))
	})
}

// stream is the stream in which the event's topic is.
func (s *service) stream() string {
	domain := s.event.Definition().Domain
	return "tidings_dev=" + domain + "=public=" + domain + "s=v1"
}

// deleteTopics removes what tidings never removes.
func (n *natsServer) deleteTopics(ctx context.Context, s *service) error {
	nc, err := natsgo.Connect(n.url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for name := range js.StreamNames(ctx).Name() {
		if strings.Contains(name, s.event.Definition().Domain) {
			if err := js.DeleteStream(ctx, name); err != nil {
				return fmt.Errorf("delete stream %s: %w", name, err)
			}
		}
	}
	return nil
}
