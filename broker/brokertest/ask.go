package brokertest

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/tidings-go/tidings/broker"
)

// askWhileListenersEnd asks without a pause while one listener of a group stays and others come and go, as replicas do in a deployment.
func askWhileListenersEnd(k *kit) {
	b := k.open()
	topic := broker.Topic{Name: k.unique("requests"), Live: true}
	if state := k.apply(b, topic)[0]; len(state.Diff) > 0 {
		return // It carries no requests, which ask has looked at.
	}
	heard := make([]chan struct{}, 16) // by asker
	for i := range heard {
		heard[i] = make(chan struct{}, 1)
	}
	listen := func(b broker.Broker) (c *call, asked <-chan struct{}) {
		ready, hears := make(chan struct{}), make(chan struct{}, 1)
		l := broker.Listener{Topics: []string{topic.Name}, Group: "providers", Ready: func() { close(ready) }}
		ctx, cancel := context.WithCancel(k.Context())
		c = k.start(cancel, func() error {
			return b.Listen(ctx, l, func(r broker.Record) {
				if i, err := strconv.Atoi(string(r.Value)); err == nil {
					heard[i] <- struct{}{}
					select {
					case hears <- struct{}{}:
					default:
					}
				}
			})
		})
		k.await("a listener is ready", ready)
		return c, hears
	}
	listen(k.open())
	k.eventually("the asker's server knows of the listener", func() bool {
		return !errors.Is(b.Live(k.patient(), []broker.Record{{Topic: topic.Name, Headers: []broker.Header{{Name: broker.ReplyTo, Value: "replies"}}}}), broker.ErrNoListener)
	})
	var asking sync.WaitGroup
	enough := make(chan struct{})
	for i := range heard {
		asking.Go(func() { k.askOn(b, topic.Name, i, heard[i], enough) })
	}
	coming := k.open()
	for range 20 {
		c, asked := listen(coming)
		k.await("a new listener is asked", asked)
		c.stop()
	}
	close(enough)
	asking.Wait()
}

// await waits for something to come.
func (k *kit) await(what string, came <-chan struct{}) {
	k.Helper()
	select {
	case <-came:
	case <-k.after(k.patience):
		k.Fatalf("not within %s: %s", k.patience, what)
	}
}

// askOn asks one question after the other until there are enough. Each has to be heard.
func (k *kit) askOn(b broker.Broker, topic string, asker int, heard, enough <-chan struct{}) {
	question := broker.Record{
		Topic: topic, Value: []byte(strconv.Itoa(asker)),
		Headers: []broker.Header{{Name: broker.ReplyTo, Value: "replies"}},
	}
	for {
		ctx, cancel := context.WithTimeout(k.Context(), k.patience)
		err := b.Live(ctx, []broker.Record{question})
		if err == nil {
			select {
			case <-heard:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		cancel()
		if err != nil {
			k.Errorf("a question was not heard, and a listener was there all the time: %v", err)
			return
		}
		select {
		case <-enough:
			return
		default:
		}
	}
}
