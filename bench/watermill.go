//go:build unix

package main

import (
	"context"
	"encoding/json"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
)

// watermillShare is which part of the messages Watermill gets where it takes much longer than the others.
const watermillShare = 5

// watermillPublish has Watermill's own settings, which wait for one replica only. Its publisher waits for each message, so it needs many goroutines.
func (k *kafkaServer) watermillPublish(_ context.Context, t *trial, topic string) error {
	t.n /= watermillShare
	marshaler := kafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) { return m.Metadata.Get("key"), nil })
	p, err := kafka.NewPublisher(kafka.PublisherConfig{Brokers: k.seeds, Marshaler: marshaler}, nil)
	if err != nil {
		return err
	}
	defer p.Close() //nolint:errcheck // everything was acknowledged
	publish := func(c cart) error {
		data, err := json.Marshal(c)
		if err != nil {
			return err
		}
		m := message.NewMessage(watermill.NewUUID(), data)
		m.Metadata.Set("key", c.ID)
		return p.Publish(topic, m)
	}
	if err := publish(newCart(0)); err != nil {
		return err
	}
	t.start()
	return eachCart(oneByOne, t.n, publish)
}

func (k *kafkaServer) watermillConsume(ctx context.Context, t *trial) error {
	handled, all := t.countdown()
	cfg := kafka.DefaultSaramaSubscriberConfig()
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	s, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: k.seeds, Unmarshaler: kafka.DefaultMarshaler{}, OverwriteSaramaConfig: cfg, ConsumerGroup: unique("watermill"),
	}, nil)
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // the group is not used again
	messages, err := s.Subscribe(ctx, k.filled)
	if err != nil {
		return err
	}
	for {
		select {
		case m := <-messages:
			if decodes(m.Payload) {
				handled()
			}
			m.Ack()
		case <-all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
