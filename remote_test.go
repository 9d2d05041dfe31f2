package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
)

// Who is asked when the app ends still answers.
func TestRequestsInHandAreAnsweredWhenTheAppEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Config{})
		defer func() { _ = b.Close() }()
		app := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote = b, true })
		app.Serve(tidings.Serve(lookup, func(context.Context, getOrder) (*gotOrder, error) {
			<-time.After(time.Second)
			return &gotOrder{Total: 1}, nil
		}))
		other := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote, c.Service = b, true, "mailer" })
		defer run(t, other)()
		stop := run(t, app)
		answered := make(chan error)
		go func() {
			_, err := lookup.Call(t.Context(), other, getOrder{"1"})
			answered <- err
		}()
		synctest.Wait()
		go stop()
		if err := <-answered; err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

// One replica of the provider answers each request.
func TestReplicasShareRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Config{})
		defer func() { _ = b.Close() }()
		var asked inbox[int]
		for i := range 2 {
			app := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote = b, true })
			app.Serve(tidings.Serve(lookup, func(context.Context, getOrder) (*gotOrder, error) {
				asked.add(i)
				return nil, nil
			}))
			defer run(t, app)()
		}
		other := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote, c.Service = b, true, "mailer" })
		defer run(t, other)()
		for range 20 {
			if got, err := lookup.Call(t.Context(), other, getOrder{"1"}); got != nil || err != nil {
				t.Fatal(got, err)
			}
		}
		if all := fmt.Sprint(asked.all()); len(asked.all()) != 20 || !strings.Contains(all, "0") || !strings.Contains(all, "1") {
			t.Errorf("asked %s", all)
		}
	})
}

// What is no request at all ends nothing.
func TestGarbageOnTheTopicsOfRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Config{})
		defer func() { _ = b.Close() }()
		app := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote = b, true })
		app.Serve(tidings.Serve(lookup, answer))
		defer run(t, app)()
		topic := "dev.shop.public.requests.shop.GetOrder.v1"
		var replies inbox[broker.Record]
		if _, err := b.Topics(t.Context(), broker.Apply, broker.Topic{Name: "replies.test", Live: true}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = b.Listen(ctx, broker.Listener{Topics: []string{"replies.test"}}, replies.add) }()
		synctest.Wait()
		event := func(typ string, more ...broker.Header) broker.Record {
			return broker.Record{Topic: topic, Value: []byte("{"), Headers: append([]broker.Header{
				{Name: "ce-specversion", Value: "1.0"}, {Name: "ce-id", Value: "1"}, {Name: "ce-source", Value: "/x"}, {Name: "ce-type", Value: typ},
			}, more...)}
		}
		to := broker.Header{Name: broker.ReplyTo, Value: "replies.test"}
		err := b.Live(t.Context(), []broker.Record{
			{Topic: topic, Value: []byte("x")},
			event("shop.GetOrder.v1"),
			event("shop.GetOrder.v1", broker.Header{Name: broker.ReplyTo, Value: "no such topic"}),
			event("shop.GetOrder.v1", to, broker.Header{Name: "tidings-call-timeout", Value: "soon"}),
			event("shop.Other.v1", to),
			event("shop.GetOrder.v1", to, broker.Header{Name: "tidings-call-key", Value: "a b"}),
		})
		if err == nil { // memory looks at all topics first
			synctest.Wait()
		}
		pass(time.Second)
		if all := replies.all(); len(all) != 3 {
			t.Errorf("%d replies, want 3", len(all))
		}
		for _, r := range replies.all() {
			if code, _ := r.Header("tidings-call-code"); code != "invalid" {
				t.Errorf("reply %q with code %q", r.Value, code)
			}
		}
	})
}

// uncarrying is a broker that carries no requests, as Kafka.
type uncarrying struct{ broker.Broker }

func (u uncarrying) Topics(ctx context.Context, op broker.Op, want ...broker.Topic) ([]broker.TopicState, error) {
	states, err := u.Broker.Topics(ctx, op, want...)
	for i := range states {
		if states[i].Live {
			states[i].Diff = []string{"no requests between processes"}
		}
	}
	return states, err
}

func TestCheckOfRequests(t *testing.T) {
	t.Parallel()
	serve := func(context.Context, getOrder) (*gotOrder, error) { return nil, nil }
	app := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote = uncarrying{c.Broker}, true })
	foreign := tidings.DefineRequest[getOrder, *gotOrder]("bank", "Pay", "v1")
	misnamed := tidings.DefineRequest[getOrder, *gotOrder]("Shop", "no spaces", "1")
	inner := tidings.DefineRequest[getOrder, *gotOrder]("shop", "Inner", "v1", tidings.Internal)
	untravelled := tidings.DefineRequest[chan int, func()]("shop", "Chan", "v1")
	app.Serve(nil, tidings.Serve(lookup, serve), tidings.Serve[getOrder, *gotOrder](nil, serve), tidings.Serve(lookup, nil), tidings.Serve(foreign, serve), tidings.Serve(misnamed, serve),
		tidings.Serve(untravelled, func(context.Context, chan int) (func(), error) { return nil, nil }))
	app.AddModule("second").Serve(tidings.Serve(lookup, serve))
	app.Calls(nil, inner, lookup)
	local := newApp(t)
	local.Calls(lookup)
	local.Serve(tidings.Serve(untravelled, func(context.Context, chan int) (func(), error) { return nil, nil }))
	err := errors.Join(app.Check(t.Context()), local.Check(t.Context()))
	if err == nil {
		t.Fatal("Check found nothing")
	}
	for _, want := range []string{
		"Serve was given a nil endpoint", "the request is nil or empty", "the function is nil", "has a provider already, module shop", `domain "bank" belongs to nobody here`,
		`name "no spaces"`, "JSON can't carry a chan int", "JSON can't carry a func()", "Calls was given a nil request", "calls shop.Inner.v1, which is internal",
		"Config.Remote: no requests between processes", "module shop calls shop.GetOrder.v1, which no module of this app serves", "remote_test.go",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q", want)
		}
	}
	if n := strings.Count(err.Error(), "JSON can't carry a chan"); n != 1 {
		t.Errorf("in process anything may be a question: %d", n)
	}
	if t.Failed() {
		t.Log(err)
	}
	if _, err := misnamed.Call(t.Context(), app, getOrder{"1"}); err == nil || !strings.Contains(err.Error(), `name "no spaces"`) {
		t.Errorf("called a request with mistakes: %v", err)
	}
	if _, err := (*tidings.Request[int, int])(nil).Call(t.Context(), app, 1); err == nil {
		t.Error("called nothing")
	}
}
