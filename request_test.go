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
	"github.com/tidings-go/tidings/broker/memory"
)

type getOrder struct {
	ID string `json:"id"`
}

func (q getOrder) Validate() error {
	if q.ID == "" {
		return errors.New("id is empty")
	}
	return nil
}

type gotOrder struct {
	ID    string `json:"id"`
	Total int    `json:"total"`
}

var lookup = tidings.DefineRequest[getOrder, *gotOrder]("shop", "GetOrder", "v1")

// answer is a provider with an answer for every case.
func answer(ctx context.Context, q getOrder) (*gotOrder, error) {
	switch q.ID {
	case "missing":
		return nil, fmt.Errorf("no order %s: %w", q.ID, tidings.CodeNotFound)
	case "odd":
		return nil, fmt.Errorf("order %s: %w", q.ID, tidings.Code("out-of-stock"))
	case "broken":
		return nil, errors.New("the disk is full")
	case "bomb":
		panic("boom")
	case "nested":
		return nil, &tidings.Error{Request: "bank.Pay.v1", Code: tidings.CodeUnserved}
	case "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	case "large":
		return &gotOrder{ID: strings.Repeat("x", 2_000_000)}, nil
	}
	return &gotOrder{ID: q.ID, Total: 7}, nil
}

// callers are an app that serves lookup, and all who may call it: a module of the same app, and another process.
func callers(t *testing.T) (map[string]tidings.Host, func()) {
	t.Helper()
	b := memory.New(memory.Config{})
	t.Cleanup(func() { _ = b.Close() })
	provider := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote = b, true })
	provider.AddModule("orders").Serve(tidings.Serve(lookup, answer))
	web := provider.AddModule("web")
	web.Calls(lookup)
	other := newApp(t, func(c *tidings.Config) { c.Broker, c.Service, c.Remote = b, "mailer", true })
	other.Calls(lookup)
	stops := []func(){run(t, provider), run(t, other)}
	return map[string]tidings.Host{"in process": web, "between processes": other}, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

func TestCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts, stop := callers(t)
		defer stop()
		for name, host := range hosts {
			got, err := lookup.Call(t.Context(), host, getOrder{"42"})
			if err != nil || *got != (gotOrder{"42", 7}) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			for id, want := range map[string]struct {
				code tidings.Code
				text string
			}{
				"missing": {tidings.CodeNotFound, "tidings: call shop.GetOrder.v1: not-found: no order missing"},
				"odd":     {"out-of-stock", "tidings: call shop.GetOrder.v1: out-of-stock: order odd"},
				"broken":  {tidings.CodeInternal, "tidings: call shop.GetOrder.v1: internal: the disk is full"},
				"bomb":    {tidings.CodeInternal, "tidings: call shop.GetOrder.v1: internal: panic: boom"},
				"nested":  {tidings.CodeUnavailable, "tidings: call shop.GetOrder.v1: unavailable: tidings: call bank.Pay.v1: unserved"},
				"":        {tidings.CodeInvalid, "tidings: call shop.GetOrder.v1: invalid: id is empty"},
			} {
				got, err := lookup.Call(t.Context(), host, getOrder{id})
				if got != nil || !errors.Is(err, want.code) || tidings.CodeOf(err) != want.code || err.Error() != want.text {
					t.Errorf("%s, order %q: %v, %v", name, id, got, err)
				}
			}
		}
	})
}

func TestCallTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts, stop := callers(t)
		defer stop()
		for name, host := range hosts {
			start := time.Now()
			_, err := lookup.Call(t.Context(), host, getOrder{"slow"})
			if tidings.CodeOf(err) != tidings.CodeTimeout || time.Since(start) != 10*time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Minute, cancel)
			ctx, end := context.WithTimeout(ctx, time.Hour)
			start = time.Now()
			if _, err = lookup.Call(ctx, host, getOrder{"slow"}); tidings.CodeOf(err) != tidings.CodeTimeout || !errors.Is(err, context.Canceled) || time.Since(start) != time.Minute {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
			end()
		}
		pass(time.Hour) // the other process does not hear that its caller has gone
	})
}

func TestACallTooLargeForTheBrokerIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts, stop := callers(t)
		defer stop()
		if got, err := lookup.Call(t.Context(), hosts["in process"], getOrder{"large"}); err != nil || len(got.ID) != 2_000_000 {
			t.Errorf("in process nothing is too large: %v", err)
		}
		if _, err := lookup.Call(t.Context(), hosts["between processes"], getOrder{"large"}); tidings.CodeOf(err) != tidings.CodeInternal || !strings.Contains(err.Error(), "the request was handled, and the answer takes") {
			t.Errorf("a large answer: %v", err)
		}
		if _, err := lookup.Call(t.Context(), hosts["between processes"], getOrder{strings.Repeat("x", 2_000_000)}); tidings.CodeOf(err) != tidings.CodeInvalid || !strings.Contains(err.Error(), "the question takes") {
			t.Errorf("a large question: %v", err)
		}
	})
}

// Nobody waits for an answer that can't come.
func TestNobodyServes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := memory.New(memory.Config{})
		defer func() { _ = b.Close() }()
		local := newApp(t)
		remote := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote, c.Service = b, true, "mailer" })
		defer run(t, local)()
		defer run(t, remote)()
		unserved := func(when string, app *tidings.App) {
			t.Helper()
			if _, err := lookup.Call(t.Context(), app, getOrder{"1"}); !errors.Is(err, tidings.CodeUnserved) {
				t.Errorf("%s: %v", when, err)
			}
		}
		unserved("in process", local)
		unserved("between processes", remote)
		gone := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote = b, true })
		gone.Serve(tidings.Serve(lookup, answer))
		run(t, gone)()
		unserved("after the provider's end", remote)
		if time.Since(start) > 0 {
			t.Errorf("that took %v", time.Since(start))
		}
	})
}

// In process the answer is the provider's own, and the context is the caller's.
func TestCallInProcessSerialisesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type private struct{ c chan int }
		type key struct{}
		request := tidings.DefineRequest[*private, *private]("shop", "Same", "v1")
		app := newApp(t)
		app.Serve(tidings.Serve(request, func(ctx context.Context, p *private) (*private, error) {
			if ctx.Value(key{}) != "value" {
				t.Error("the context is not the caller's")
			}
			return p, nil
		}))
		stop := run(t, app)
		defer stop()
		p := &private{c: make(chan int)}
		if got, err := request.Call(context.WithValue(t.Context(), key{}, "value"), app, p); got != p || err != nil {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// Who must not import the provider has types of its own; their JSON is the contract.
func TestCallWithTypesOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type total struct {
			Total int `json:"total"`
		}
		own := tidings.DefineRequest[map[string]string, total]("shop", "GetOrder", "v1")
		hosts, stop := callers(t)
		defer stop()
		for name, host := range hosts {
			if got, err := own.Call(t.Context(), host, map[string]string{"id": "1"}); err != nil || got.Total != 7 {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
		wrong := tidings.DefineRequest[int, total]("shop", "GetOrder", "v1")
		for name, host := range hosts {
			if _, err := wrong.Call(t.Context(), host, 1); tidings.CodeOf(err) != tidings.CodeInvalid {
				t.Errorf("%s: a number for an object: %v", name, err)
			}
		}
	})
}

// The provider knows the request as a message, and what it publishes has it as its cause.
func TestARequestIsAMessageToItsProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Config{})
		defer func() { _ = b.Close() }()
		app := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote = b, true })
		other := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote, c.Service = b, true, "mailer" })
		app.Emits(placed, shipped)
		var requests, events inbox[tidings.Message]
		app.Serve(tidings.Serve(lookup, func(ctx context.Context, _ getOrder) (*gotOrder, error) {
			m, _ := tidings.MessageFrom(ctx)
			requests.add(m)
			return &gotOrder{}, shipped.Publish(ctx, app.Direct(), order{"a", 1})
		}))
		note := func(ctx context.Context) {
			m, _ := tidings.MessageFrom(ctx)
			events.add(m)
		}
		app.Subscribe(tidings.Subscription{Name: "note"}, tidings.On(shipped, func(ctx context.Context, _ order) error { note(ctx); return nil }))
		call := func(host tidings.Host) tidings.LiveReaction {
			return tidings.On(placed, func(ctx context.Context, _ order) error {
				note(ctx)
				_, err := lookup.Call(ctx, host, getOrder{"1"})
				return err
			})
		}
		app.Subscribe(tidings.Subscription{Name: "local"}, call(app))
		other.Subscribe(tidings.Subscription{Name: "remote"}, call(other))
		defer run(t, app)()
		defer run(t, other)()
		if err := placed.Publish(t.Context(), app.Direct(), order{"a", 1}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		first := events.all()[0]
		for _, r := range requests.all() {
			if r.Type != "shop.GetOrder.v1" || r.CausationID != first.ID || r.CorrelationID != first.ID {
				t.Errorf("request %+v", r)
			}
		}
		if all := events.all(); len(all) != 4 || len(requests.all()) != 2 {
			t.Fatalf("%d events, %d requests", len(all), len(requests.all()))
		}
		for _, m := range events.all() {
			if m.Type == "shop.OrderShipped.v1" && (m.CorrelationID != first.ID || m.CausationID != requests.all()[0].ID && m.CausationID != requests.all()[1].ID) {
				t.Errorf("event %+v", m)
			}
		}
	})
}

func TestCallWaitsUntilTheProviderHasStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		ready := false
		provider := app.AddModule("orders")
		provider.OnStart(func(context.Context) error {
			<-time.After(5 * time.Second)
			ready = true
			return nil
		})
		provider.Serve(tidings.Serve(lookup, func(context.Context, getOrder) (*gotOrder, error) {
			if !ready {
				t.Error("asked before the start")
			}
			return nil, nil
		}))
		answered := make(chan error)
		go func() {
			_, err := lookup.Call(t.Context(), app, getOrder{"1"})
			answered <- err
		}()
		synctest.Wait()
		stop := run(t, app)
		if err := <-answered; err != nil {
			t.Error(err)
		}
		stop()

		idle := newApp(t)
		idle.Serve(tidings.Serve(lookup, answer))
		if _, err := lookup.Call(t.Context(), idle, getOrder{"1"}); tidings.CodeOf(err) != tidings.CodeTimeout || !strings.Contains(err.Error(), "module shop has not started") {
			t.Errorf("the app does not run: %v", err)
		}
		broken := newApp(t)
		broken.Serve(tidings.Serve(lookup, answer))
		broken.OnStart(func(context.Context) error { return errors.New("no") })
		if err := broken.Run(t.Context()); err == nil {
			t.Error("started")
		}
		if _, err := lookup.Call(t.Context(), broken, getOrder{"1"}); tidings.CodeOf(err) != tidings.CodeUnavailable {
			t.Errorf("the app has ended: %v", err)
		}
	})
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	for want, err := range map[tidings.Code]error{
		"":                      nil,
		tidings.CodeInternal:    errors.New("x"),
		tidings.CodeConflict:    fmt.Errorf("a: %w", fmt.Errorf("b: %w", tidings.CodeConflict)),
		tidings.CodeUnavailable: &tidings.Error{Code: tidings.CodeUnavailable, Err: tidings.CodeNotFound},
	} {
		if got := tidings.CodeOf(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
