package audit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/delivery/audit"
	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/tidingstest"
)

// entered is an order in the ledger, and how long after the first event it was entered.
type entered struct {
	order string
	after time.Duration
}

// ledger is one of a test, which says for each order what is to become of it.
type ledger struct {
	began   time.Time
	entries []entered
	enter   func(ctx context.Context, e audit.Entry) error
}

func (l *ledger) write(ctx context.Context, e audit.Entry) error {
	if err := l.enter(ctx, e); err != nil {
		return err
	}
	l.entries = append(l.entries, entered{e.OrderID, time.Since(l.began).Round(time.Second)})
	return nil
}

// start runs an audit alone, with the given ledger. It handles one batch at a time.
func start(t *testing.T, enter func(ctx context.Context, e audit.Entry) error) (*tidingstest.Kit, *ledger) {
	t.Helper()
	l := &ledger{began: time.Now(), enter: enter}
	k := tidingstest.New(t, tidings.Config{Service: "delivery"}, func(app *tidings.App) {
		audit.Add(app, audit.Config{Ledger: l.write, Log: slog.New(slog.DiscardHandler)})
	})
	return k, l
}

func orders(ids ...string) []tidings.Message {
	messages := make([]tidings.Message, len(ids))
	for i, id := range ids {
		messages[i] = order.OrderCreatedV1.New(order.CreatedV1{OrderID: id, Amount: 100})
	}
	return messages
}

func TestABatchIsTenOrdersOrFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, l := start(t, func(context.Context, audit.Entry) error { return nil })
		ids := make([]string, 13)
		for i := range ids {
			ids[i] = fmt.Sprint("o-", i)
		}
		k.Deliver(orders(ids...)...)
		if len(l.entries) != 13 || l.entries[9].after != 0 || l.entries[10].after != 5*time.Second {
			t.Errorf("want ten orders at once and three after five seconds: %v", l.entries)
		}
	})
}

func TestEachOrderGetsItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := 2
		k, l := start(t, func(_ context.Context, e audit.Entry) error {
			switch {
			case e.OrderID == "refused":
				return audit.ErrRefused
			case e.OrderID == "busy" && busy > 0:
				busy--
				return errors.New("the ledger is busy")
			}
			return nil
		})
		bad := order.OrderCreatedV1.New(order.CreatedV1{OrderID: "free"})
		broken := order.OrderCreatedV1.New(order.CreatedV1{OrderID: "broken"})
		broken.Data = []byte(`{"order_id":`)
		k.Deliver(append(orders("refused", "busy", "good"), bad, broken)...)

		// A batch waits five seconds, and busy waits five more before each further attempt.
		want := []entered{{"good", 5 * time.Second}, {"busy", 25 * time.Second}}
		if !slices.Equal(l.entries, want) {
			t.Errorf("entered %v, want %v", l.entries, want)
		}
		var dead []string
		for _, row := range k.DeadLetters() {
			dead = append(dead, row.Record.Key)
		}
		slices.Sort(dead)
		if !slices.Equal(dead, []string{"broken", "free", "refused"}) {
			t.Errorf("dead letters %v", dead)
		}
	})
}

// Three orders of 25 seconds take longer than one may. Without InProgress the second would be cut short.
func TestLongWorkIsNotCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, l := start(t, func(ctx context.Context, _ audit.Entry) error {
			select {
			case <-time.After(25 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		k.Deliver(orders("a", "b", "c")...)
		if len(l.entries) != 3 || l.entries[2].after != 80*time.Second {
			t.Errorf("entered %v", l.entries)
		}
	})
}

// What takes longer than one order may is cut short, and tried again.
func TestEndlessWorkIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		k, l := start(t, func(ctx context.Context, _ audit.Entry) error {
			if attempts++; attempts == 1 {
				<-ctx.Done()
			}
			return ctx.Err()
		})
		k.Deliver(orders("a")...)
		if len(l.entries) != 1 || l.entries[0].after < 35*time.Second || attempts != 2 {
			t.Errorf("entered %v with %d attempts", l.entries, attempts)
		}
	})
}
