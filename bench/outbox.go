//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/kafka"
	"github.com/tidings-go/tidings/internal/outbox"
	"github.com/tidings-go/tidings/store/postgres"
)

const (
	// writers is how many transactions run at once.
	writers = 8
	// backlogPerTx is how many events a transaction of the backlog has.
	backlogPerTx = 100
)

// pipeline is a PostgreSQL and the Kafka that its outboxes are relayed to.
type pipeline struct {
	kafka *kafkaServer
	url   string
}

func outboxComparisons(kafkaURL, postgresURL string, server process) []comparison {
	p := &pipeline{kafka: newKafka(kafkaURL), url: postgresURL}
	return []comparison{
		{title: "PostgreSQL to Kafka, drain of a backlog", n: 50_000, server: server, measures: []measure{
			{"textbook: SKIP LOCKED, 1,000 at once", p.each(p.textbookDrain)},
			{"tidings", p.each(p.drain)},
			{"Watermill's forwarder", p.each(p.watermillDrain)},
		}},
		{title: "PostgreSQL to Kafka, commit rate with 8 writers, without a relay", n: 16_000, server: server, measures: []measure{
			{"no outbox at all", p.each(p.bare)},
			{"tidings", p.each(p.commits)},
			{"textbook", p.each(p.textbookCommits)},
		}},
		{title: "PostgreSQL to Kafka, committed and delivered with 8 writers", n: 16_000, server: server, measures: []measure{
			{"textbook", p.each(p.textbookSustained)},
			{"tidings", p.each(p.sustained)},
		}},
		{title: "PostgreSQL to Kafka, from before the transaction to the handler, 200 a second", n: 400, latency: true, measures: []measure{
			{"textbook", p.each(p.textbookLatency)},
			{"tidings", p.each(p.latency)},
		}},
		{title: "PostgreSQL to Kafka, the same while 8 writers commit 4,000 a second", n: 400, latency: true, measures: []measure{
			{"tidings", p.each(p.busyLatency)},
		}},
	}
}

// place is a schema of its own and a topic of its own, for one round.
type place struct {
	*pipeline
	schema, topic string
	db            *postgres.Store
}

// each gives a measure a place.
func (p *pipeline) each(run func(ctx context.Context, t *trial, at *place) error) func(context.Context, *trial) error {
	return p.kafka.publishing(func(ctx context.Context, t *trial, topic string) (err error) {
		at := &place{pipeline: p, schema: unique("bench"), topic: topic}
		quiet := slog.New(slog.DiscardHandler)
		if at.db, err = postgres.Open(ctx, p.url+"&pool_max_conns=16", postgres.Config{Schema: at.schema, Log: quiet}); err != nil {
			return err
		}
		defer func() {
			_, dropped := at.db.Pool().Exec(context.WithoutCancel(ctx), "DROP SCHEMA "+at.schema+" CASCADE")
			err = errors.Join(err, dropped, at.db.Close())
		}()
		if err := at.db.Migrate(ctx); err != nil {
			return err
		}
		if _, err := at.db.Pool().Exec(ctx, "CREATE TABLE "+at.schema+".bookings (id bigserial PRIMARY KEY, cart text NOT NULL)"); err != nil {
			return err
		}
		return run(ctx, t, at)
	})
}

func (p *place) book() string { return "INSERT INTO " + p.schema + ".bookings (cart) VALUES ($1)" }

// with opens an app on the place's database and topic.
func (p *place) with(ctx context.Context, do func(s *service, b *kafka.Broker) error) error {
	b, err := kafka.Open(ctx, p.kafka.seeds, kafka.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s := newServiceOn(tidings.Config{Broker: b, Store: p.db}, kafkaDomain, p.topic)
	return errors.Join(do(s, b), b.Close())
}

// transact books a cart and publishes its event in one transaction.
func (p *place) transact(ctx context.Context, s *service, c cart) error {
	return tidings.InTx(ctx, s.app, func(ctx context.Context, tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, p.book(), c.ID); err != nil {
			return err
		}
		return s.event.Publish(ctx, s.app.Outbox(tx), c)
	})
}

// backlog commits n events.
func (p *place) backlog(ctx context.Context, s *service, n int) error {
	return together(writers, func(w int) error {
		for i := w * backlogPerTx; i < n; i += writers * backlogPerTx {
			err := tidings.InTx(ctx, s.app, func(ctx context.Context, tx *postgres.Tx) error {
				messages := make([]tidings.Message, 0, backlogPerTx)
				for k := i; k < min(i+backlogPerTx, n); k++ {
					messages = append(messages, s.event.New(newCart(k)))
				}
				return s.app.Outbox(tx).Publish(ctx, messages...)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// drain relays rows that are there before the relay starts.
func (p *pipeline) drain(ctx context.Context, t *trial, at *place) error {
	return at.with(ctx, func(s *service, b *kafka.Broker) error {
		if err := at.backlog(ctx, s, t.n); err != nil {
			return err
		}
		if err := s.event.Publish(ctx, s.app.Direct(), newCart(0)); err != nil { // so that the client knows its way
			return err
		}
		running, stop := context.WithCancel(ctx)
		defer stop()
		var stats outbox.Stats
		ended := make(chan error, 1)
		t.start()
		go func() {
			ended <- outbox.Run(running, at.db, b, outbox.Config{Stats: &stats, Log: slog.New(slog.DiscardHandler)})
		}()
		for stats.Published.Load() < int64(t.n) {
			select {
			case err := <-ended:
				return fmt.Errorf("the relay ended: %w", err)
			case <-time.After(time.Millisecond):
			}
		}
		t.stop()
		stop()
		return <-ended
	})
}

// bare is the same transactions without an outbox.
func (p *pipeline) bare(ctx context.Context, t *trial, at *place) error {
	t.start()
	defer t.stop()
	return spread(t.n, func(c cart) error {
		return pgx.BeginFunc(ctx, at.db.Pool(), func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, at.book(), c.ID)
			return err
		})
	})
}

// spread commits n transactions from several goroutines.
func spread(n int, transact func(c cart) error) error {
	return together(writers, func(w int) error {
		for i := w; i < n; i += writers {
			if err := transact(newCart(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *pipeline) commits(ctx context.Context, t *trial, at *place) error {
	return at.with(ctx, func(s *service, _ *kafka.Broker) error {
		t.start()
		defer t.stop()
		return spread(t.n, func(c cart) error { return at.transact(ctx, s, c) })
	})
}

// sustained commits transactions and waits until their events have been handled.
func (p *pipeline) sustained(ctx context.Context, t *trial, at *place) error {
	return at.with(ctx, func(s *service, _ *kafka.Broker) error {
		r := newRelay(t)
		s.app.Subscribe(tidings.Subscription{Name: "count"}, tidings.On(s.event, func(context.Context, cart) error {
			r.seen <- struct{}{}
			return nil
		}))
		stop, err := start(ctx, s.app)
		if err != nil {
			return err
		}
		if err = at.transact(ctx, s, newCart(0)); err == nil {
			err = r.await(ctx, 1)
		}
		t.start()
		if err == nil {
			err = spread(t.n, func(c cart) error { return at.transact(ctx, s, c) })
		}
		if err == nil {
			err = r.await(ctx, t.n)
		}
		t.stop()
		return errors.Join(err, stop())
	})
}

func (p *pipeline) latency(ctx context.Context, t *trial, at *place) error {
	return at.timed(ctx, t, func(context.Context, *service) error { return nil })
}

// busyLatency has other writers beside what is timed.
func (p *pipeline) busyLatency(ctx context.Context, t *trial, at *place) error {
	const each = writers * time.Second / 4000
	return at.timed(ctx, t, func(ctx context.Context, s *service) error {
		return together(writers, func(int) error {
			tick := time.NewTicker(each)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return nil
				}
				c := newCart(i)
				c.Customer = "somebody else"
				if err := at.transact(ctx, s, c); err != nil && ctx.Err() == nil {
					return err
				}
			}
		})
	})
}

// timed sends n events through transactions at an even pace, beside which others may run.
func (p *place) timed(ctx context.Context, t *trial, beside func(ctx context.Context, s *service) error) error {
	return p.with(ctx, func(s *service, _ *kafka.Broker) error {
		r := newRelay(t)
		s.app.Subscribe(tidings.Subscription{Name: "count"}, tidings.On(s.event, func(_ context.Context, c cart) error {
			if c.Customer != "somebody else" {
				r.receive(c)
			}
			return nil
		}))
		stop, err := start(ctx, s.app)
		if err != nil {
			return err
		}
		publish := func(c cart) error { return p.transact(ctx, s, c) }
		if err = publish(r.cart(-1)); err == nil {
			err = r.await(ctx, 1)
		}
		others, end := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- beside(others, s) }()
		if err == nil {
			err = r.send(ctx, publish)
		}
		if err == nil {
			err = r.await(ctx, t.n+1)
		}
		end()
		return errors.Join(err, <-ended, stop())
	})
}
