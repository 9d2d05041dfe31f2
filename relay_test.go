package tidings_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/internal/outbox"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// An app without a relay reads and publishes directly as usual; what it commits waits for a relay somewhere else, and for nothing more.
func TestWithoutARelayTheOutboxWaitsForOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, got := memorystore.New(), &inbox[order]{}
		app := newApp(t, func(cfg *tidings.Config) { cfg.Store, cfg.NoRelay = s, true })
		app.Emits(placed)
		app.Subscribe(tidings.Subscription{Name: "all"}, tidings.On(placed, got.take))
		defer run(t, app)()
		err := tidings.InTx(t.Context(), app, func(ctx context.Context, tx *memorystore.Tx) error {
			return placed.Publish(ctx, app.Outbox(tx), order{"a", 1})
		})
		if err != nil {
			t.Fatal(err)
		}
		if err = placed.Publish(t.Context(), app.Direct(), order{"b", 2}); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if all := got.all(); len(all) != 1 || all[0].N != 2 {
			t.Errorf("without a relay it got %v", all)
		}
		relaying, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- outbox.Run(relaying, s, app.Broker(), outbox.Config{}) }()
		pass(time.Minute)
		if all := got.all(); len(all) != 2 || all[1].N != 1 {
			t.Errorf("with a relay it got %v", all)
		}
		stop()
		if err = <-ended; err != nil {
			t.Error(err)
		}
	})
}
