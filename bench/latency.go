//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings"
)

// pace is the time between two messages.
const pace = 5 * time.Millisecond

// What is timed, from just before a message is encoded.
const (
	acknowledged = "until acknowledged"
	received     = "until decoded by the consumer"
)

// relay notes when messages come out that were sent one by one. Customer says which one a message is.
type relay struct {
	t    *trial
	sent []time.Time
	seen chan struct{}
}

func newRelay(t *trial) *relay {
	return &relay{t: t, sent: make([]time.Time, t.n), seen: make(chan struct{}, t.n)}
}

// send calls publish for one message at a time, on time, whether or not those before it are done. One message goes ahead and is not counted.
func (r *relay) send(ctx context.Context, publish func(c cart) error) error {
	if err := publish(r.cart(-1)); err != nil {
		return err
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	errs := make(chan error, r.t.n)
	for i := range r.t.n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		r.sent[i] = time.Now()
		go func() {
			errs <- publish(r.cart(i))
			r.t.took(acknowledged, time.Since(r.sent[i]))
		}()
	}
	var err error
	for range r.t.n {
		err = errors.Join(err, <-errs)
	}
	return err
}

func (r *relay) cart(i int) cart {
	c := newCart(i + 1)
	c.Customer = strconv.Itoa(i)
	return c
}

// receive notes that a message has come.
func (r *relay) receive(c cart) {
	i, err := strconv.Atoi(c.Customer)
	if err == nil && i >= 0 {
		r.t.took(received, time.Since(r.sent[i]))
	}
	r.seen <- struct{}{}
}

// await waits for n messages.
func (r *relay) await(ctx context.Context, n int) error {
	for range n {
		select {
		case <-r.seen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// idle passes the messages over a channel: what is seen there is the machine's, not a client's.
func idle(ctx context.Context, t *trial) error {
	r := newRelay(t)
	ch := make(chan []byte)
	defer close(ch)
	go func() {
		for data := range ch {
			var c cart
			if json.Unmarshal(data, &c) == nil {
				r.receive(c)
			}
		}
	}()
	if err := r.send(ctx, func(c cart) error {
		data, err := json.Marshal(c)
		ch <- data
		return err
	}); err != nil {
		return err
	}
	return r.await(ctx, t.n+1)
}

func (k *kafkaServer) rawLatency(ctx context.Context, t *trial, topic string) error {
	r := newRelay(t)
	cl, err := k.raw()
	if err != nil {
		return err
	}
	defer cl.Close()
	reading, stop := context.WithCancel(ctx)
	read := make(chan error, 1)
	go func() {
		read <- k.rawGroup(reading, topic, reading.Done(), func(cl *kgo.Client, fetches kgo.Fetches) {
			fetches.EachRecord(func(record *kgo.Record) {
				var c cart
				if json.Unmarshal(record.Value, &c) == nil {
					r.receive(c)
				}
			})
			cl.MarkCommitRecords(fetches.Records()...)
		})
	}()
	publish := func(c cart) error {
		record, problem := rawRecord(topic, c)
		if problem != nil {
			return problem
		}
		return cl.ProduceSync(ctx, record).FirstErr()
	}
	// The consumer has to be there before the first message that counts.
	err = publish(r.cart(-1))
	if err == nil {
		err = r.await(ctx, 1)
	}
	if err == nil {
		err = r.send(ctx, publish)
	}
	if err == nil {
		err = r.await(ctx, t.n+1)
	}
	stop()
	if ended := <-read; !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	return err
}

func (k *kafkaServer) latency(ctx context.Context, t *trial, topic string) error {
	return k.with(ctx, topic, func(s *service) error {
		r := newRelay(t)
		s.app.Subscribe(tidings.Subscription{Name: "count"}, tidings.On(s.event, func(_ context.Context, c cart) error {
			r.receive(c)
			return nil
		}))
		stop, err := start(ctx, s.app)
		if err != nil {
			return err
		}
		publish := func(c cart) error { return s.event.Publish(ctx, s.app.Direct(), c) }
		if err = publish(r.cart(-1)); err == nil {
			err = r.await(ctx, 1)
		}
		if err == nil {
			err = r.send(ctx, publish)
		}
		if err == nil {
			err = r.await(ctx, t.n+1)
		}
		return errors.Join(err, stop())
	})
}
