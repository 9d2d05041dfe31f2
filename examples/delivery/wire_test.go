package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/internal/testenv"
)

// Subjects, keys, attributes and payloads are as in testdata/wire.golden: seen by a client that knows nothing of tidings.
func TestWire(t *testing.T) {
	t.Parallel()
	server := testenv.NATS(t)
	nc, err := nats.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	cfg := open(t, place{server, trial.SQLite(t, "delivery.db")})
	s, err := newSystem(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var w trial.Wire
	for _, topic := range []string{"order=public=orders", "order=internal=orders=v1"} {
		for _, subject := range []string{"tidings.t.%s=%s.*", "tidings.live.%s=%s"} {
			if _, err = nc.Subscribe(fmt.Sprintf(subject, cfg.Env, topic), func(m *nats.Msg) { add(&w, m) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err = nc.Flush(); err != nil {
		t.Fatal(err)
	}
	trial.Run(t, s.during)
	// One by one, so that they come in this order.
	trial.Ask(t, s.app, order.CreateOrder, order.Create{OrderID: "tea", Amount: 4200, CustomerID: "ada", Currency: "EUR", Items: []string{"pot", "cup"}})
	w.Await(t, 2)
	trial.Ask(t, s.app, order.ShipParcel, order.Ship{OrderID: "tea"})
	w.Await(t, 3)
	trial.Ask(t, s.app, order.CreateOrder, order.Create{OrderID: "mug", Amount: 900, CustomerID: "bo", Currency: "USD", Items: []string{"mug"}})
	w.Await(t, 5)
	trial.Ask(t, s.app, order.CancelOrder, order.Cancel{OrderID: "mug", Reason: "broken"})
	w.Await(t, 6)
	trial.Ask(t, s.app, order.MoveParcel, order.Move{OrderID: "tea", Place: "Hamburg", Depot: true})
	w.Await(t, 7)
	trial.Ask(t, s.app, order.MoveParcel, order.Move{OrderID: "tea", Place: "A7"})
	trial.Golden(t, w.Await(t, 8), cfg.Env, "ENV")
}

// add adds a message of NATS, without what the server says of batches.
func add(w *trial.Wire, m *nats.Msg) {
	var attributes []string
	for name, values := range m.Header {
		if !strings.HasPrefix(name, "Nats-Batch-") {
			attributes = append(attributes, fmt.Sprint(name, ": ", values))
		}
	}
	w.Add(m.Subject, attributes, m.Data)
}
