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

// jetStream compares end to end on a JetStream server: encode, publish acknowledged, consume, decode, acknowledge.
func jetStream(url string) comparison {
	return comparison{title: "JetStream, end to end", n: 100_000, measures: []measure{
		{"raw nats.go, asynchronous publish", func(ctx context.Context, n int) error { return rawJetStream(ctx, url, n) }},
		{"tidings", func(ctx context.Context, n int) error { return tidingsJetStream(ctx, url, n) }},
	}}
}

func unique(prefix string) string { return prefix + strconv.FormatInt(time.Now().UnixNano(), 36) }

func rawJetStream(ctx context.Context, url string, n int) error {
	nc, err := natsgo.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		return err
	}
	name := unique("raw")
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name + ".*"}, Storage: jetstream.FileStorage})
	if err != nil {
		return err
	}
	defer js.DeleteStream(context.WithoutCancel(ctx), name) //nolint:errcheck // the server may keep it
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "count", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10_000})
	if err != nil {
		return err
	}
	var handled sync.WaitGroup
	handled.Add(n)
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		var c cart
		if err := json.Unmarshal(m.Data(), &c); err == nil && m.Ack() == nil {
			handled.Done()
		}
	})
	if err != nil {
		return err
	}
	defer reading.Stop()
	for i := range n {
		data, err := json.Marshal(newCart(i))
		if err != nil {
			return err
		}
		if _, err := js.PublishAsync(name+"."+strconv.Itoa(i%8), data, jetstream.WithStallWait(time.Minute)); err != nil {
			return err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	handled.Wait()
	return nil
}

func tidingsJetStream(ctx context.Context, url string, n int) error {
	b, err := nats.Open(ctx, url, nats.Config{})
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // everything was acknowledged
	s, err := newService(ctx, b, unique("bench"))
	if err != nil {
		return err
	}
	return errors.Join(s.exchange(ctx, n, manyPerCall), s.stop(), deleteTopics(ctx, url, s))
}

// deleteTopics removes what tidings never removes.
func deleteTopics(ctx context.Context, url string, s *service) error {
	nc, err := natsgo.Connect(url)
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
