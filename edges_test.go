package tidings_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/store"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// nilError is the classic: a nil pointer in an error.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func TestAnErrorThatPanicsIsAFailureLikeAnyOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed)
		attempts := 0
		app.Subscribe(tidings.Subscription{Name: "all", Retry: tidings.Retry{Attempts: 2}}, tidings.On(placed, func(context.Context, order) error {
			attempts++
			var e *nilError
			return e
		}))
		stop := run(t, app)
		defer stop()
		if err := placed.Publish(t.Context(), app.Direct(), order{"a", 1}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if attempts != 2 {
			t.Errorf("%d attempts, want 2", attempts)
		}
	})
}

// outage is a store that can't begin transactions for a while.
type outage struct {
	store.Store
	until time.Time
}

func (o *outage) InTx(ctx context.Context, fn func(context.Context, store.Native) error) error {
	if time.Now().Before(o.until) {
		return errors.New("connection refused")
	}
	return o.Store.InTx(ctx, fn)
}

// An hour without a database says nothing about any message: all of them are handled afterwards, in order.
func TestAStoreThatIsDownMakesNoDeadLetters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &outage{Store: memorystore.New()}
		app := newApp(t, func(c *tidings.Config) { c.Store = s })
		app.Emits(placed)
		var single, together inbox[int]
		app.Subscribe(tidings.Subscription{Name: "single"}, tidings.OnTx(placed, func(_ context.Context, _ *memorystore.Tx, o order) error {
			single.add(o.N)
			return nil
		}))
		app.Subscribe(tidings.Subscription{Name: "batch"}, tidings.OnBatchTx(placed, tidings.Batch{Size: 4, Wait: time.Second},
			func(_ context.Context, _ *memorystore.Tx, batch []*tidings.Delivery[order]) error {
				for _, d := range batch {
					together.add(d.Payload.N)
				}
				return nil
			}))
		stop := run(t, app)
		defer stop()
		s.until = time.Now().Add(time.Hour)
		for n := 1; n <= 6; n++ {
			if err := placed.Publish(t.Context(), app.Direct(), order{"a", n}); err != nil {
				t.Fatal(err)
			}
		}
		pass(2 * time.Hour)
		if got := fmt.Sprint(single.all(), together.all()); got != "[1 2 3 4 5 6] [1 2 3 4 5 6]" {
			t.Errorf("handled %s", got)
		}
	})
}

// What a batch's function says of single messages can't undo or survive the transaction that holds them all.
func TestAckInATransactionalBatchDoesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed)
		calls := 0
		app.Subscribe(tidings.Subscription{Name: "all"}, tidings.OnBatchTx(placed, tidings.Batch{Wait: time.Second},
			func(ctx context.Context, _ *memorystore.Tx, batch []*tidings.Delivery[order]) error {
				calls++
				batch[0].Ack()
				if m, ok := tidings.MessageFrom(batch[0].Context(ctx)); !ok || m.ID != batch[0].Message.ID || tidings.IdempotencyKey(batch[0].Context(ctx)) == "" {
					t.Error("the delivery's context does not know the message")
				}
				if calls == 1 {
					return errors.New("rolled back")
				}
				return nil
			}))
		stop := run(t, app)
		defer stop()
		if err := placed.Publish(t.Context(), app.Direct(), order{"a", 1}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if calls != 2 {
			t.Errorf("%d calls, want 2: the rolled back one was repeated", calls)
		}
	})
	d := tidings.Delivery[order]{Payload: order{"a", 1}} // as a unit test of a batch function makes it
	d.Ack()
	d.Nak(time.Second)
	d.Term(nil)
	d.InProgress()
}

// explosive panics while it is decoded.
type explosive struct {
	Key string `json:"key" tidings:"key"`
	N   int    `json:"n"`
}

func (e *explosive) UnmarshalJSON(data []byte) error {
	type plain explosive
	if err := json.Unmarshal(data, (*plain)(e)); err != nil {
		return err
	}
	if e.N == 2 {
		panic("boom")
	}
	return nil
}

func TestOnePanicIsNotTheWholeBatchs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		event := tidings.Define[explosive]("shop", "Exploded", "v1")
		app := newApp(t)
		app.Emits(event, placed)
		var decoded, handled inbox[int]
		app.Subscribe(tidings.Subscription{Name: "decode"}, tidings.OnBatch(event, tidings.Batch{Wait: time.Second},
			func(_ context.Context, batch []*tidings.Delivery[explosive]) error {
				for _, d := range batch {
					decoded.add(d.Payload.N)
				}
				return nil
			}))
		app.Subscribe(tidings.Subscription{Name: "handle", Retry: tidings.Retry{Attempts: 2}}, tidings.OnBatchTx(placed, tidings.Batch{Wait: time.Second},
			func(_ context.Context, _ *memorystore.Tx, batch []*tidings.Delivery[order]) error {
				for _, d := range batch {
					if d.Payload.N == 2 {
						panic("boom")
					}
				}
				for _, d := range batch {
					handled.add(d.Payload.N)
				}
				return nil
			}))
		stop := run(t, app)
		defer stop()
		for n := 1; n <= 3; n++ {
			err := errors.Join(event.Publish(t.Context(), app.Direct(), explosive{"a", n}), placed.Publish(t.Context(), app.Direct(), order{"a", n}))
			if err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		if got := fmt.Sprint(decoded.all(), handled.all()); got != "[1 3] [1 3]" {
			t.Errorf("handled %s", got)
		}
	})
}

// A message that is as large as can be still becomes a dead letter, with less of a history.
func TestALargeMessageFitsIntoTheDeadLetters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Config{MaxRecordBytes: 10_000})
		defer func() { _ = b.Close() }()
		app := newApp(t, func(c *tidings.Config) { c.Broker, c.Store = b, nil })
		text := tidings.Define[string]("shop", "Said", "v1")
		app.Emits(text)
		app.Subscribe(tidings.Subscription{Name: "all", Retry: tidings.Retry{Attempts: 3}}, tidings.On(text, func(context.Context, string) error { panic(strings.Repeat("x", 3000)) }))
		stop := run(t, app)
		defer stop()
		if err := text.Publish(t.Context(), app.Direct(), strings.Repeat("y", 9000)); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if dead := readAll(t, b, "shop.all.dead-letters"); len(dead) != 1 {
			t.Errorf("%d dead letters, want 1", len(dead))
		}
	})
}

// Ids of other services are unique only with their source: both messages arrive.
func TestTheSameIDOfTwoSources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app, got, stop := collect(t)
		defer stop()
		for n, source := range []string{"/one", "/two", "/one"} {
			m := placed.New(order{"a", n})
			m.ID, m.Source = "1", source
			if err := app.Direct().Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Second)
		if all := got.all(); len(all) != 2 {
			t.Errorf("got %v, want one of each source", all)
		}
	})
}

// An event that is known by name is published as its full definition says, and read whatever its codec.
func TestNamedFollowsTheFullDefinition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := tidings.Define[order]("shop", "Priced", "v1", tidings.WireType("order.priced"), tidings.WithCodec(asXML{}))
		named := tidings.Named("shop", "Priced", "v1")
		app := newApp(t)
		app.Emits(full)
		var typed inbox[order]
		var raw inbox[tidings.Raw]
		app.Subscribe(tidings.Subscription{Name: "typed"}, tidings.On(full, typed.take))
		app.Subscribe(tidings.Subscription{Name: "raw"}, tidings.On(named, raw.take))
		stop := run(t, app)
		defer stop()
		if err := full.Publish(t.Context(), app.Direct(), order{"a", 1}); err != nil {
			t.Fatal(err)
		}
		m := named.New(tidings.Raw(`"x"`))
		if err := app.Direct().Publish(t.Context(), m); err == nil || !strings.Contains(err.Error(), "set Message.Key") {
			t.Errorf("published without the key that the definition has: %v", err)
		}
		pass(time.Second)
		if len(typed.all()) != 1 || len(raw.all()) != 1 {
			t.Errorf("typed %v, raw %s", typed.all(), raw.all())
		}
		if err := named.Publish(t.Context(), app.Direct(), tidings.Raw("{")); err == nil {
			t.Error("published raw bytes that are no JSON as JSON")
		}
	})
}

// A hook or a handler that does not come to an end must not keep the process.
func TestRunEndsWhateverHooksDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.OnStart(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := app.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}

		stuck := make(chan struct{})
		defer close(stuck)
		app = newApp(t)
		app.OnStop(func(context.Context) error { <-stuck; return nil })
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := app.Run(ctx); err == nil || !strings.Contains(err.Error(), "module shop did not end within") {
			t.Errorf("Run = %v", err)
		}
		if err := app.Run(t.Context()); err == nil {
			t.Error("an app ran twice")
		}
	})
}

func TestRunOfAnEndedContextDoesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	app := newApp(t)
	if err := app.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
	app = newApp(t)
	app.Emits(placed)
	if err := placed.Publish(ctx, app.Direct(), order{"a", 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish = %v", err)
	}
}

// Publishing works before Run; who subscribes later reads from the beginning.
func TestPublishBeforeRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed)
		if err := placed.Publish(t.Context(), app.Direct(), order{"a", 1}); err != nil {
			t.Fatal(err)
		}
		var got inbox[order]
		app.Subscribe(tidings.Subscription{Name: "all"}, tidings.On(placed, got.take))
		stop := run(t, app)
		defer stop()
		pass(time.Second)
		if len(got.all()) != 1 {
			t.Error("what was published before Run did not arrive")
		}
	})
}

// None of these may panic or pass.
func TestCheckFindsWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	type hidden struct {
		in seat //nolint:unused // the mistake that is looked for
	}
	type minus struct {
		K string `json:"-" tidings:"key"`
	}
	nothing := func(context.Context, order) error { return nil }
	app := newApp(t, func(c *tidings.Config) {
		c.Stop, c.MaxMessageBytes = -1, -1
		c.Topics = []broker.Topic{{Name: "twice"}, {Name: "twice"}}
	})
	app.Emits(nil, (*tidings.Event[order])(nil), tidings.Define[*order]("shop", "P", "v1"), tidings.Define[hidden]("shop", "H", "v1"),
		tidings.Define[minus]("shop", "M", "v1"), tidings.Define[order]("shop", "O", "v1", nil), tidings.Define[order]("shop", "C", "v1", tidings.WithCodec(nil)),
		tidings.Define[order]("shop", "E", "v1", tidings.Entity("")))
	app.Subscribe(tidings.Subscription{Name: "a", OnFailure: 9, Retry: tidings.Retry{Min: -1}}, nil, tidings.On[order](nil, nothing), tidings.On(placed, (func(context.Context, order) error)(nil)))
	app.Subscribe(tidings.Subscription{Name: "b"}, tidings.OnBatch(shipped, tidings.Batch{Size: -1}, func(context.Context, []*tidings.Delivery[order]) error { return nil }))
	app.Listen(tidings.Listener{Queue: "a b"}, nil)
	app.Listen(tidings.Listener{Queue: "q"}, tidings.On(placed, nothing))
	app.Listen(tidings.Listener{Queue: "q"}, tidings.On(shipped, nothing))
	app.OnStart(nil)
	app.OnStop(nil)
	app.Discover(nil)
	err := app.Check(t.Context())
	if err == nil {
		t.Fatal("Check found nothing")
	}
	for _, want := range []string{
		"Stop -1ns", `topic "twice" is there twice`, "Emits was given a nil event", "define the event with tidings_test.order", "there can be no key in it",
		`remove the tag json:"-"`, "an option is nil", "the codec is nil", `entity ""`, "OnFailure 9 is none of", "limits can't be negative", "the event is nil or empty",
		"the function is nil", `queue "a b"`, `queue "q" has a listener already`, "OnStart was given a nil function", "OnStop was given a nil function", "Discover was given a nil function",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
	if m := new(tidings.Event[order]).New(order{}); app.Direct().Publish(t.Context(), m) == nil {
		t.Error("published an event that nobody defined")
	}
	if err := app.Outbox(nil).Publish(t.Context()); err == nil {
		t.Error("an outbox without transaction published nothing without an error")
	}
	if err := tidings.New(tidings.Config{Service: "x"}).Direct().Publish(t.Context()); err != nil {
		t.Errorf("nothing to publish: %v", err)
	}
}
