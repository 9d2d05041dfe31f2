package snippets_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	memorystore "github.com/tidings-go/tidings/store/memory"
	"github.com/tidings-go/tidings/tidingstest"
)

// mails sends mails, once it has a server.
type mails struct{ send func(to string) error }

func (m mails) onPlaced(_ context.Context, e OrderPlaced) error {
	if e.Cents < 0 {
		return tidings.DeadLetter(errors.New("a negative amount"))
	}
	return m.send(e.OrderID)
}

func TestAMailIsSent(t *testing.T) {
	var sent []string
	m := mails{send: func(to string) error { sent = append(sent, to); return nil }}
	if err := m.onPlaced(t.Context(), OrderPlaced{OrderID: "o-1"}); err != nil || len(sent) != 1 {
		t.Error(sent, err)
	}
}

// register is what main calls too.
func register(app *tidings.App) {
	app.Emits(placed, packed)
	app.Subscribe(tidings.Subscription{Name: "packer"}, tidings.OnTx(placed, func(ctx context.Context, tx *memorystore.Tx, e OrderPlaced) error {
		return packed.Publish(ctx, app.Outbox(tx), OrderPacked{OrderID: e.OrderID})
	}))
}

func TestAnOrderIsPackedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := tidingstest.New(t, tidings.Config{Service: "shop"}, register)
		k.Deliver(placed.New(OrderPlaced{OrderID: "o-1"}))
		k.Redeliver() // as brokers do, now and then
		if got := tidingstest.Published(k, packed); len(got) != 1 {
			t.Errorf("packed %v", got)
		}
	})
}

func TestAMailServerIsDownForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, sent := time.Now(), 0
		m := mails{send: func(string) error {
			if time.Since(start) < 10*time.Minute {
				return tidings.Unavailable(errDown)
			}
			sent++
			return nil
		}}
		k := tidingstest.New(t, tidings.Config{Service: "shop"}, func(app *tidings.App) {
			app.Subscribe(tidings.Subscription{Name: "mailer"}, tidings.On(placed, m.onPlaced))
		})
		k.Deliver(placed.New(OrderPlaced{OrderID: "o-1"}), placed.New(OrderPlaced{OrderID: "o-2", Cents: -1})) // returns when all is quiet: ten minutes later, in no time
		if dead := k.DeadLetters(); sent != 1 || len(dead) != 1 {
			t.Errorf("sent %d mails, %d dead letters", sent, len(dead))
		}
	})
}

func TestItIsPackedOnceWhereverTheProcessDies(t *testing.T) {
	tidingstest.EveryCrash(t, func(t *testing.T, step int) *tidingstest.Kit {
		t.Helper()
		k := tidingstest.New(t, tidings.Config{Service: "shop"}, register)
		k.CrashAt(step)
		k.Deliver(placed.New(OrderPlaced{OrderID: "o-1"}))
		if got := tidingstest.Published(k, packed); len(got) != 1 {
			t.Errorf("packed %v", got)
		}
		return k
	})
}

func TestNothingIsWiredByAccident(t *testing.T) {
	app := newApp("shop")
	register(app)
	tidingstest.Topology(t, app)
}
