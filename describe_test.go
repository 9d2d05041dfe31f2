package tidings_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// describeAll is an app that has everything.
func describeAll(t *testing.T) *tidings.App {
	t.Helper()
	app := newApp(t, func(c *tidings.Config) {
		c.Owns = []string{"box"}
		c.Topics = []broker.Topic{{Name: ordersTopic, Partitions: 3, Retention: time.Hour}, {Name: "dev.bank.public.banks.v1", External: true}}
	})
	web, pay := app.AddModule("web", "pay", "pay"), app.AddModule("pay")
	app.Emits(placed, shipped)
	pay.Emits(placed, paid2)
	handle := func(context.Context, order) error { return nil }
	app.Subscribe(tidings.Subscription{Name: "ship", OnFailure: tidings.Block, Unordered: true}, tidings.OnTx(placed, func(context.Context, *memorystore.Tx, order) error { return nil }), tidings.On(shipped, handle))
	pay.Subscribe(tidings.Subscription{Name: "book"}, tidings.On(paid3, func(context.Context, paidV3) error { return nil }))
	pay.Subscribe(tidings.Subscription{Name: "archive", Topics: []string{"events"}}, tidings.On(tidings.Any(), func(context.Context, tidings.Raw) error { return nil }))
	web.Listen(tidings.Listener{Queue: "workers"}, tidings.On(placed, handle))
	web.Listen(tidings.Listener{}, tidings.On(tidings.Named("bank", "Booked", "v1"), func(context.Context, tidings.Raw) error { return nil }))
	app.Serve(tidings.Serve(lookup, answer), tidings.HandleTx(place, func(context.Context, *memorystore.Tx, order) (int, tidings.Events, error) { return 0, nil, nil }))
	web.Calls(lookup, place, tidings.DefineRequest[int, int]("bank", "Balance", "v1"))
	web.Discover(func(c *tidings.Catalog) error {
		for _, e := range c.Events("shop")[:1] {
			web.Subscribe(tidings.Subscription{Name: "found"}, tidings.On(e.Event(), func(context.Context, tidings.Raw) error { return nil }))
		}
		return nil
	})
	return app
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	d, err := describeAll(t).Describe()
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(d, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/description.json")
	if err != nil || !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
		t.Errorf("the description is not as in testdata/description.json (%v):\n%s", err, got)
	}
	again, err := json.MarshalIndent(must(t, describeAll(t)), "", "\t")
	if err != nil || !bytes.Equal(got, again) {
		t.Error("the same app is described otherwise")
	}
}

func must(t *testing.T, app *tidings.App) tidings.Description {
	t.Helper()
	d, err := app.Describe()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Whoever describes an app may run it all the same: Discover functions are called once.
func TestDescribeAndThenRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed)
		calls := 0
		app.Discover(func(*tidings.Catalog) error {
			calls++
			if calls == 1 {
				return errors.New("not yet")
			}
			app.Subscribe(tidings.Subscription{Name: "all"}, tidings.On(placed, func(context.Context, order) error { return nil }))
			return nil
		})
		if _, err := app.Describe(); err == nil || !strings.Contains(err.Error(), "not yet") {
			t.Errorf("Describe = %v", err)
		}
		before := must(t, app)
		run(t, app)()
		if after := must(t, app); calls != 2 || len(before.Subscriptions) != 1 || fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("%d calls; before %v, after %v", calls, before, after)
		}
	})
}

func ExampleApp_Describe() {
	app := tidings.New(tidings.Config{Service: "box"})
	app.Emits(booked)
	app.Subscribe(tidings.Subscription{Name: "printer"}, tidings.On(booked, func(context.Context, SeatsBooked) error { return nil }))
	d, err := app.Describe()
	if err != nil {
		fmt.Println(err)
	}
	for _, s := range d.Subscriptions {
		fmt.Println(s.Group, "reads", s.Reactions[0].Event, "from", s.Topics)
	}
	// Output: box.printer reads box.SeatsBooked.v1 from [dev.box.public.boxes.v1]
}
