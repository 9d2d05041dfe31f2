//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

// textbookBatch is how many rows the textbook relay takes at once.
const textbookBatch = 1000

// textbook is the outbox that most articles describe: a table whose oldest rows are locked, sent and deleted in one transaction.
type textbook struct {
	*place
	cl   *kgo.Client
	wake chan struct{}
	sent atomic.Int64
}

func (p *place) textbook(ctx context.Context, do func(b *textbook) error) error {
	_, err := p.db.Pool().Exec(ctx, "CREATE TABLE "+p.schema+".textbook (id bigserial PRIMARY KEY, topic text NOT NULL, key bytea, value bytea)")
	if err != nil {
		return err
	}
	b := &textbook{place: p, wake: make(chan struct{}, 1)}
	if b.cl, err = p.kafka.raw(kgo.ProducerLinger(0)); err != nil {
		return err
	}
	defer b.cl.Close()
	first, err := rawRecord(p.topic, newCart(0))
	if err != nil {
		return err
	}
	if err := b.cl.ProduceSync(ctx, first).FirstErr(); err != nil { // so that the client knows its way
		return err
	}
	return do(b)
}

func (b *textbook) append(ctx context.Context, tx pgx.Tx, c cart) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO "+b.schema+".textbook (topic, key, value) VALUES ($1, $2, $3)", b.topic, []byte(c.ID), data)
	return err
}

// transact books a cart and puts its event into the table, in one transaction.
func (b *textbook) transact(ctx context.Context, c cart) error {
	err := pgx.BeginFunc(ctx, b.db.Pool(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, b.book(), c.ID); err != nil {
			return err
		}
		return b.append(ctx, tx, c)
	})
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return err
}

// relay moves rows until ctx ends. It is told of every commit, as if there were no other process.
func (b *textbook) relay(ctx context.Context) error {
	for {
		n, err := b.move(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case n == textbookBatch:
			continue
		}
		select {
		case <-b.wake:
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

func (b *textbook) move(ctx context.Context) (n int, err error) {
	err = pgx.BeginFunc(ctx, b.db.Pool(), func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT id, topic, key, value FROM "+b.schema+".textbook ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED", textbookBatch)
		if err != nil {
			return err
		}
		var ids []int64
		var records []*kgo.Record
		for rows.Next() {
			var id int64
			r := &kgo.Record{}
			if err := rows.Scan(&id, &r.Topic, &r.Key, &r.Value); err != nil {
				return err
			}
			ids, records = append(ids, id), append(records, r)
		}
		if err := rows.Err(); err != nil || len(ids) == 0 {
			return err
		}
		if err := b.cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		n = len(ids)
		_, err = tx.Exec(ctx, "DELETE FROM "+b.schema+".textbook WHERE id = ANY($1)", ids)
		return err
	})
	if err == nil {
		b.sent.Add(int64(n))
	}
	return n, err
}

// relaying runs do beside the relay.
func (b *textbook) relaying(ctx context.Context, do func() error) error {
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.relay(running) }()
	err := do()
	stop()
	return errors.Join(err, <-ended)
}

func (p *pipeline) textbookDrain(ctx context.Context, t *trial, at *place) error {
	return at.textbook(ctx, func(b *textbook) error {
		err := together(writers, func(w int) error {
			for i := w * backlogPerTx; i < t.n; i += writers * backlogPerTx {
				err := pgx.BeginFunc(ctx, at.db.Pool(), func(tx pgx.Tx) error {
					for k := i; k < min(i+backlogPerTx, t.n); k++ {
						if err := b.append(ctx, tx, newCart(k)); err != nil {
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
		if err != nil {
			return err
		}
		t.start()
		return b.relaying(ctx, func() error {
			for b.sent.Load() < int64(t.n) {
				select {
				case <-time.After(time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			t.stop()
			return nil
		})
	})
}

// reading runs do beside a consumer of the topic that has seen the first message.
func (b *textbook) reading(ctx context.Context, r *relay, do func() error) error {
	reading, stop := context.WithCancel(ctx)
	read := make(chan error, 1)
	go func() {
		read <- b.kafka.rawGroup(reading, b.topic, reading.Done(), func(cl *kgo.Client, fetches kgo.Fetches) {
			fetches.EachRecord(func(record *kgo.Record) {
				var c cart
				if json.Unmarshal(record.Value, &c) == nil {
					r.receive(c)
				}
			})
			cl.MarkCommitRecords(fetches.Records()...)
		})
	}()
	err := r.await(ctx, 1)
	if err == nil {
		err = b.relaying(ctx, do)
	}
	stop()
	if ended := <-read; !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	return err
}

func (p *pipeline) textbookCommits(ctx context.Context, t *trial, at *place) error {
	return at.textbook(ctx, func(b *textbook) error {
		t.start()
		defer t.stop()
		return spread(t.n, func(c cart) error { return b.transact(ctx, c) })
	})
}

func (p *pipeline) textbookSustained(ctx context.Context, t *trial, at *place) error {
	return at.textbook(ctx, func(b *textbook) error {
		r := newRelay(t)
		return b.reading(ctx, r, func() error {
			t.start()
			defer t.stop()
			if err := spread(t.n, func(c cart) error { return b.transact(ctx, c) }); err != nil {
				return err
			}
			return r.await(ctx, t.n)
		})
	})
}

func (p *pipeline) textbookLatency(ctx context.Context, t *trial, at *place) error {
	return at.textbook(ctx, func(b *textbook) error {
		r := newRelay(t)
		return b.reading(ctx, r, func() error {
			if err := r.send(ctx, func(c cart) error { return b.transact(ctx, c) }); err != nil {
				return err
			}
			return r.await(ctx, t.n+1)
		})
	})
}
