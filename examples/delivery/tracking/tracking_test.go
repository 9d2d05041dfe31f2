package tracking

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/store"
)

func TestAJourney(t *testing.T) {
	s := trial.Store(t, Schema)
	tr := &tracking{db: s.DB()}
	if _, err := tr.track(t.Context(), Track{"tea"}); tidings.CodeOf(err) != tidings.CodeNotFound {
		t.Errorf("before anything happened: %v", err)
	}
	app := tidings.New(tidings.Config{Service: "delivery", Broker: memory.New(memory.Config{}), Store: s})
	err := tidings.InTx(t.Context(), app, func(ctx context.Context, tx *store.SQLTx) error {
		return errors.Join(
			tr.moved(ctx, tx, order.Moved{OrderID: "tea", Place: "Kiel"}), // a move may come first
			tr.created(ctx, tx, order.CreatedV2{OrderID: "tea", Amount: 4205, Currency: "EUR", Items: []string{"pot"}}),
			tr.shipped(ctx, tx, order.Shipped{OrderID: "tea", Parcel: 1, Revision: 2}),
			tr.moved(ctx, tx, order.Moved{OrderID: "tea", Place: "Bonn"}),
			tr.cancelled(ctx, tx, order.Cancelled{OrderID: "mug", Reason: "broken", Revision: 2}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := tr.track(t.Context(), Track{"tea"})
	if err != nil || got.Place != "Bonn" || !slices.Equal(got.Steps, []string{"ordered 1 items for 42.05 EUR", "parcel 1 is on its way"}) {
		t.Errorf("got %+v, %v", got, err)
	}
}
