//go:build unix

package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
)

// watermillDrain is Watermill's own outbox, the forwarder, set as fast as it goes: batches of 1,000 and hardly a pause between polls.
func (p *pipeline) watermillDrain(ctx context.Context, t *trial, at *place) error {
	t.n /= watermillShare
	pool, table := at.db.Pool(), unique("outbox")
	schema := wsql.DefaultPostgreSQLSchema{SubscribeBatchSize: 1000}
	subscriber, err := wsql.NewSubscriber(wsql.BeginnerFromPgx(pool), wsql.SubscriberConfig{
		SchemaAdapter: schema, OffsetsAdapter: wsql.DefaultPostgreSQLOffsetsAdapter{}, InitializeSchema: true, PollInterval: time.Millisecond,
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	if err := subscriber.SubscribeInitialize(table); err != nil {
		return err
	}
	defer pool.Exec(context.WithoutCancel(ctx), `DROP TABLE "watermill_`+table+`", "watermill_offsets_`+table+`"`) //nolint:errcheck // of a database for tests
	if err := at.watermillBacklog(ctx, schema, table, t.n); err != nil {
		return err
	}
	marshaler := kafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) { return m.Metadata.Get("key"), nil })
	publisher, err := kafka.NewPublisher(kafka.PublisherConfig{Brokers: p.kafka.seeds, Marshaler: marshaler}, nil)
	if err != nil {
		return err
	}
	counting := &counter{Publisher: publisher, done: make(chan struct{}), left: t.n}
	f, err := forwarder.NewForwarder(subscriber, counting, watermill.NopLogger{}, forwarder.Config{ForwarderTopic: table})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	t.start()
	go func() { ended <- f.Run(running) }()
	select {
	case <-counting.done:
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	t.stop()
	return f.Close()
}

func (p *place) watermillBacklog(ctx context.Context, schema wsql.SchemaAdapter, table string, n int) error {
	return together(writers, func(w int) error {
		for i := w * backlogPerTx; i < n; i += writers * backlogPerTx {
			err := pgx.BeginFunc(ctx, p.db.Pool(), func(tx pgx.Tx) error {
				publisher, err := wsql.NewPublisher(wsql.TxFromPgx(tx), wsql.PublisherConfig{SchemaAdapter: schema}, watermill.NopLogger{})
				if err != nil {
					return err
				}
				outbox := forwarder.NewPublisher(publisher, forwarder.PublisherConfig{ForwarderTopic: table})
				for k := i; k < min(i+backlogPerTx, n); k++ {
					c := newCart(k)
					data, err := json.Marshal(c)
					if err != nil {
						return err
					}
					m := message.NewMessage(watermill.NewUUID(), data)
					m.Metadata.Set("key", c.ID)
					if err := outbox.Publish(p.topic, m); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// counter closes done when left messages have been published. The forwarder publishes one at a time.
type counter struct {
	message.Publisher
	done chan struct{}
	left int
}

func (c *counter) Publish(topic string, messages ...*message.Message) error {
	if err := c.Publisher.Publish(topic, messages...); err != nil {
		return err
	}
	c.left -= len(messages)
	if c.left == 0 {
		close(c.done)
	}
	return nil
}
