package consume_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

func TestRunFailsAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consume.New(consume.Config{Group: "shop.mailer"})
		calls := 0
		err := c.Run(t.Context(), func(context.Context, func(context.Context, broker.Partition)) error {
			calls++
			return errTest
		})
		if !errors.Is(err, errTest) || err.Error() != "consume: group shop.mailer: it failed" || calls != 1 {
			t.Errorf("after %d calls: %v", calls, err)
		}
	})
}

func TestRunSurvivesLaterFailures(t *testing.T) {
	run(t, 1, consume.Config{}, func(r *rig) {
		ctx, cancel := context.WithCancel(r.t.Context())
		var starts []time.Duration
		err := r.c.Run(ctx, func(ctx context.Context, each func(context.Context, broker.Partition)) error {
			starts = append(starts, r.since())
			switch len(starts) {
			case 1:
				var wg sync.WaitGroup
				owned, lose := context.WithCancel(ctx)
				wg.Go(func() { each(owned, &session{tape: r.topic.tapes[0]}) })
				synctest.Wait()
				lose()
				wg.Wait()
			case 8:
				return errors.New("another")
			case 12:
				_ = pause(ctx, time.Hour)
			case 20:
				cancel()
				return nil
			}
			return errTest
		})
		if err != nil || len(starts) != 20 {
			t.Errorf("after %d tries: %v", len(starts), err)
		}
		// It fails, fails otherwise, fails as before, and fails after an hour of work: four lines.
		if n := r.logged("level=WARN"); n != 4 {
			t.Errorf("%d warnings:\n%s", n, &r.log)
		}
		if first, last := starts[1]-starts[0], starts[10]-starts[9]; first > 100*time.Millisecond || last < 15*time.Second {
			t.Errorf("the waits don't grow: %v", starts)
		}
		if d := starts[12] - starts[11] - time.Hour; d > 200*time.Millisecond {
			t.Errorf("after an hour of work the wait is still %s", d)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	for name, source := range map[string]func(ctx context.Context) error{
		"nil":      func(ctx context.Context) error { <-ctx.Done(); return nil },
		"its own":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"failure":  func(ctx context.Context) error { <-ctx.Done(); return errTest },
		"restarts": func(ctx context.Context) error { _ = pause(ctx, 20*time.Second); return errTest },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				c := consume.New(consume.Config{Group: "g", Log: slog.New(slog.DiscardHandler)})
				began := time.Now()
				err := c.Run(ctx, func(ctx context.Context, _ func(context.Context, broker.Partition)) error { return source(ctx) })
				if (name == "failure" || name == "restarts") != errors.Is(err, errTest) {
					t.Errorf("got %v", err)
				}
				if d := time.Since(began); d != 30*time.Second {
					t.Errorf("it ended after %s", d)
				}
			})
		})
	}
}
