//go:build unix

package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
)

const (
	// kafkaDomain owns the events, whichever service reads them.
	kafkaDomain = "bench"
	// partitions is how many each topic has.
	partitions = 4
	// oneByOne is how many goroutines publish when each message is a call that waits.
	oneByOne = 64
	// lanes is how many slow handlers run at once, and work is how long each takes.
	lanes = 256
	work  = 5 * time.Millisecond
)

// kafkaServer is the cluster.
type kafkaServer struct {
	seeds []string
	// filled is the topic that consumers read.
	filled string
}

func newKafka(url string) *kafkaServer {
	return &kafkaServer{seeds: strings.Split(strings.TrimPrefix(url, "kafka://"), ",")}
}

func kafkaComparisons(url string, server process) []comparison {
	k := newKafka(url)
	return []comparison{
		{title: "Kafka, publish", n: 100_000, server: server, measures: []measure{
			{"raw franz-go, with the same headers", k.publishing(k.rawPublish(cloudEvent))},
			{"raw franz-go, key and JSON only", k.publishing(k.rawPublish(rawRecord))},
			{"tidings, 500 per call", k.publishing(k.publishMany)},
			{"Watermill, 64 goroutines", k.publishing(k.watermillPublish)},
		}},
		{title: "Kafka, publish one by one, 64 goroutines", n: 30_000, server: server, measures: []measure{
			{"raw franz-go, with the same headers", k.publishing(k.rawPublishSync(cloudEvent))},
			{"raw franz-go, key and JSON only", k.publishing(k.rawPublishSync(rawRecord))},
			{"tidings", k.publishing(k.publishSingly)},
		}},
		{title: "Kafka, consume", n: 100_000, server: server, prepare: k.fill, measures: []measure{
			{"raw franz-go, partitions in parallel", k.rawConsumeParallel},
			{"tidings", k.consume},
			{"raw franz-go, one loop", k.rawConsume},
			{"Watermill", k.watermillConsume},
		}},
		{title: "Kafka, handlers of 5 ms, 256 at once", n: 40_000, server: server, prepare: k.fill, measures: []measure{
			{"raw franz-go, goroutines by key", k.rawSlow},
			{"tidings", k.slow},
		}},
		{title: "Kafka, latency at 200 a second", n: 300, latency: true, measures: []measure{
			{"nothing but this machine's timers", idle},
			{"raw franz-go", k.publishing(k.rawLatency)},
			{"tidings", k.publishing(k.latency)},
		}},
	}
}

// publishing gives a measure a new topic.
func (k *kafkaServer) publishing(run topicTrial) func(context.Context, *trial) error {
	return func(ctx context.Context, t *trial) (err error) {
		topic, remove, err := k.topic(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, remove()) }()
		defer t.stop()
		return run(ctx, t, topic)
	}
}

// topic makes a topic.
func (k *kafkaServer) topic(ctx context.Context) (name string, remove func() error, err error) {
	b, err := kafka.Open(ctx, k.seeds, kafka.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", nil, err
	}
	defer b.Close() //nolint:errcheck // it has nothing to lose
	name = unique("bench")
	if _, err := b.Topics(ctx, broker.Apply, broker.Topic{Name: name, Partitions: partitions}); err != nil {
		return "", nil, err
	}
	return name, func() error {
		cl, err := kgo.NewClient(kgo.SeedBrokers(k.seeds...))
		if err != nil {
			return err
		}
		defer cl.Close()
		_, err = kadm.NewClient(cl).DeleteTopics(context.WithoutCancel(ctx), name, name+".live")
		return err
	}, nil
}

// fill makes a topic with n messages for all consumers to read.
func (k *kafkaServer) fill(ctx context.Context, n int) (remove func() error, err error) {
	if k.filled, remove, err = k.topic(ctx); err != nil {
		return nil, err
	}
	err = k.with(ctx, k.filled, func(s *service) error { return s.publish(ctx, n, manyPerCall) })
	return remove, err
}

// with opens a broker for one service.
func (k *kafkaServer) with(ctx context.Context, topic string, do func(s *service) error) error {
	b, err := kafka.Open(ctx, k.seeds, kafka.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return errors.Join(do(newService(b, kafkaDomain, topic)), b.Close())
}

// publish has a running app and one message in the topic, so that the client knows its way, when counting starts.
func (k *kafkaServer) publish(ctx context.Context, t *trial, topic string, publish func(s *service) error) error {
	return k.with(ctx, topic, func(s *service) error {
		stop, err := start(ctx, s.app)
		if err != nil {
			return err
		}
		if err = s.event.Publish(ctx, s.app.Direct(), newCart(0)); err == nil {
			t.start()
			err = publish(s)
			t.stop()
		}
		return errors.Join(err, stop())
	})
}

func (k *kafkaServer) publishMany(ctx context.Context, t *trial, topic string) error {
	return k.publish(ctx, t, topic, func(s *service) error { return s.publish(ctx, t.n, manyPerCall) })
}

func (k *kafkaServer) publishSingly(ctx context.Context, t *trial, topic string) error {
	return k.publish(ctx, t, topic, func(s *service) error {
		return eachCart(oneByOne, t.n, func(c cart) error { return s.event.Publish(ctx, s.app.Direct(), c) })
	})
}

func (k *kafkaServer) consume(ctx context.Context, t *trial) error {
	return k.with(ctx, k.filled, func(s *service) error { return s.consume(ctx, t) })
}

func (k *kafkaServer) slow(ctx context.Context, t *trial) error {
	handled, all := t.countdown()
	return k.with(ctx, k.filled, func(s *service) error {
		sub := tidings.Subscription{Name: "count", Concurrency: lanes}
		return s.consumeWith(ctx, sub, all, func(context.Context, cart) error {
			<-time.After(work)
			handled()
			return nil
		})
	})
}
