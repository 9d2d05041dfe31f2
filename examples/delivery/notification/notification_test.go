package notification_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/delivery/notification"
	"github.com/tidings-go/tidings/tidingstest"
)

// A domain that the module has never heard of, but for its name.
type happened struct {
	OrderID string `json:"order_id" tidings:"key"`
}

var (
	lost1 = tidings.Define[happened]("order", "OrderLost", "v1", tidings.TopicVersion(""))
	lost2 = tidings.Evolve(lost1, "v2", func(h happened) (happened, error) { return h, nil })
	sung  = tidings.Define[happened]("order", "OrderSung", "v1", tidings.Internal)
)

func TestItTellsOfWhateverTheDomainEmits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		k := tidingstest.New(t, tidings.Config{Service: "delivery"}, func(app *tidings.App) {
			notification.Add(app, log)
			app.AddModule("order").Emits(lost1, lost2, sung)
		})
		k.Deliver(tidings.Twins(lost2.New(happened{"a"}), lost1.New(happened{"a"}))...)
		k.Deliver(sung.New(happened{"b"}))
		got, err := notification.LatestNotices.Call(t.Context(), k.App, notification.Latest{})
		if err != nil || got.Count != 2 || got.Latest[0].Event != "order.OrderLost.v2" || got.Latest[0].OrderID != "a" || got.Latest[1].Event != "order.OrderSung.v1" {
			t.Errorf("got %+v, %v", got, err)
		}
		for range 30 {
			k.Deliver(sung.New(happened{"c"}))
		}
		if got, _ = notification.LatestNotices.Call(t.Context(), k.App, notification.Latest{}); got.Count != 32 || len(got.Latest) != 20 {
			t.Errorf("%d notices, the latest %d", got.Count, len(got.Latest))
		}
	})
}

func TestItWantsSomebodyToListenTo(t *testing.T) {
	app := tidings.New(tidings.Config{Service: "delivery", Broker: memory.New(memory.Config{})})
	notification.Add(app, slog.New(slog.DiscardHandler))
	if err := app.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no module emits events of the domain order") {
		t.Errorf("alone: %v", err)
	}
}
