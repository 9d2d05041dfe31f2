package tidings_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
)

// What is skipped, discarded or dead is never silent: it is counted.
func TestStatsCountWhatBecameOfMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed, shipped)
		app.Subscribe(tidings.Subscription{Name: "stats", Retry: tidings.Retry{Attempts: 2}}, tidings.On(placed, func(_ context.Context, o order) error {
			switch o.N {
			case 2:
				return tidings.Discard(errors.New("not needed"))
			case 3:
				return errors.New("no stock")
			}
			return nil
		}))
		if len(app.Stats()) != 0 {
			t.Error("there are counts before Run")
		}
		stop := run(t, app)
		defer stop()
		messages := []tidings.Message{shipped.New(order{"a", 1})}
		for n := 1; n <= 3; n++ {
			messages = append(messages, placed.New(order{"a", n}))
		}
		if err := app.Direct().Publish(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		all := app.Stats()
		if len(all) != 1 {
			t.Fatalf("got %+v", all)
		}
		want := tidings.SubscriptionStats{Subscription: "stats", Handled: 1, Discarded: 1, Dead: 1, Skipped: 1, Failed: 3, Partitions: all[0].Partitions}
		if all[0] != want || want.Partitions == 0 {
			t.Errorf("got %+v, want %+v", all[0], want)
		}
	})
}
