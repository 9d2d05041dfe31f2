package tidings_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/store"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// What can't be read is known by its first place, also when it is sent back and fails again: the numbers of rows are not those of a topic.
func TestDeadLettersThatCantBeReadAreToldApart(t *testing.T) {
	t.Parallel()
	for _, mode := range []tidings.FailureMode{tidings.Park, tidings.HoldKey} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memorystore.New()
				b := memory.New(memory.Config{Partitions: 1})
				defer func() { _ = b.Close() }()
				app := newApp(t, func(c *tidings.Config) { c.Store, c.Broker = s, b })
				app.Emits(placed)
				app.Subscribe(tidings.Subscription{Name: "mailer", OnFailure: mode}, tidings.On(placed, func(context.Context, order) error { return nil }))
				defer run(t, app)()
				publish := func(n int) {
					for range n {
						b.Publish(t.Context(), []broker.Record{{Topic: ordersTopic, Value: []byte("not an event")}}, func(int, broker.Receipt, error) {})
					}
					pass(time.Minute)
				}
				publish(10)
				if err := admin.Retry(t.Context(), s, rowsOf(t, s, "shop.mailer", store.Dead)[:5]); err != nil {
					t.Fatal(err)
				}
				pass(time.Minute)
				publish(10)
				if dead := rowsOf(t, s, "shop.mailer", store.Dead); len(dead) != 20 {
					t.Errorf("%d dead letters of 20", len(dead))
				}
			})
		})
	}
}

// A twin that became a dead letter stands for its fact, also for the version of the service that would have read a newer twin: that one was skipped.
func TestDeadTwinsAreHandledAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		b := memory.New(memory.Config{})
		defer func() { _ = b.Close() }()
		var got inbox[string]
		upgrade := upgraded(t, s, b, tidings.Retry{Attempts: 1}, &got)
		if dead := rowsOf(t, s, "shop.all", store.Dead); len(dead) != 1 {
			t.Fatalf("%d dead letters", len(dead))
		}
		defer upgrade()()
		if err := admin.Retry(t.Context(), s, rowsOf(t, s, "shop.all", store.Dead)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if want := "[v1 {a 100}]"; sorted(&got) != want {
			t.Errorf("got %s, want %s", sorted(&got), want)
		}
	})
}

// What a service has not handled in the old version when it is replaced, its successor handles in the new one.
func TestTwinsAreHandledAcrossAnUpgrade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		b := memory.New(memory.Config{})
		defer func() { _ = b.Close() }()
		var got inbox[string]
		upgrade := upgraded(t, s, b, tidings.Retry{Attempts: 10, Min: time.Hour, Max: time.Hour}, &got)
		defer upgrade()()
		pass(time.Minute)
		if want := "[v2 {a 100}]"; sorted(&got) != want {
			t.Errorf("got %s, want %s", sorted(&got), want)
		}
	})
}

// upgraded runs a service that fails to handle the older of two twins, and stops it. The function that it returns runs the next version of the service.
func upgraded(t *testing.T, s store.Store, b broker.Broker, retry tidings.Retry, got *inbox[string]) (upgrade func() (stop func())) {
	t.Helper()
	service := func(r tidings.Reaction) *tidings.App {
		app := newApp(t, func(c *tidings.Config) { c.Topology, c.Store, c.Broker = one{}, s, b })
		app.Emits(paid1, paid2)
		app.Subscribe(tidings.Subscription{Name: "all", Retry: retry}, r)
		return app
	}
	before := service(tidings.On(paid1, func(context.Context, paidV1) error { return errors.New("no") }))
	stop := run(t, before)
	if err := before.Direct().Publish(t.Context(), tidings.Twins(paid2.New(paidV2{"a", 100}), paid1.New(paidV1{"a", 1}))...); err != nil {
		t.Fatal(err)
	}
	pass(time.Minute)
	stop()
	return func() func() { return run(t, service(tidings.On(paid2, note[paidV2](got)))) }
}
