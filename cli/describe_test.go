package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/cli"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

type weigh struct {
	OrderID string `json:"order_id"`
}

type shelf struct {
	ShelfID string `json:"shelf_id" tidings:"key"`
}

var (
	weighed  = tidings.DefineRequest[weigh, int]("stock", "Weigh", "v1")
	reserved = tidings.DefineRequest[weigh, bool]("stock", "Reserve", "v1", tidings.Internal)
	balance  = tidings.DefineRequest[weigh, int]("bank", "Balance", "v1")
	filled   = tidings.Define[shelf]("stock", "ShelfFilled", "v1")
	filled2  = tidings.Evolve(filled, "v2", func(old shelf) (shelf, error) { return old, nil })
)

// modular is a service that has one of everything: modules that depend on each other, events of its own in two versions and of somebody else, and a request and a command,
// answered here and elsewhere.
func modular() *tidings.App {
	a := tidings.New(tidings.Config{
		Service: "warehouse", Owns: []string{"shop"}, Topology: tidings.Scoped{}, Remote: true,
		Topics: []broker.Topic{{Name: "dev.shop.public.orders.v1", Partitions: 6, Retention: 24 * time.Hour}, {Name: "dev.bank.public.banks.v1", External: true}},
	})
	orders := a.AddModule("orders", "stock")
	orders.Emits(placed, shipped)
	orders.Calls(weighed, reserved, balance)
	orders.Subscribe(tidings.Subscription{Name: "payments", OnFailure: tidings.Block}, tidings.On(tidings.Named("bank", "Paid", "v1"), func(context.Context, tidings.Raw) error { return nil }))
	stock := a.AddModule("stock")
	stock.Emits(filled, filled2)
	stock.Serve(tidings.HandleTx(reserved, func(context.Context, *memorystore.Tx, weigh) (bool, tidings.Events, error) { return true, nil, nil }))
	stock.Subscribe(tidings.Subscription{Name: "shelves"}, tidings.On(filled2, func(context.Context, shelf) error { return nil }))
	stock.Serve(tidings.Serve(weighed, func(context.Context, weigh) (int, error) { return 1, nil }))
	nothing := func(context.Context, OrderPlaced) error { return nil }
	stock.Subscribe(tidings.Subscription{Name: "counter"}, tidings.On(placed, nothing), tidings.On(shipped, nothing))
	stock.Listen(tidings.Listener{Queue: "scales"}, tidings.On(shipped, nothing))
	return a
}

// Neither broker nor store is needed, and a manifest tells the same as the app.
func TestDescribe(t *testing.T) {
	t.Parallel()
	s := newShop(t, memory.New(memory.Config{}))
	s.call(modular(), "describe").golden(t, "describe.txt", 0)
	s.call(modular(), "describe", "-o", "mermaid").golden(t, "describe.mmd", 0)
	manifest := s.call(modular(), "manifest")
	manifest.golden(t, "describe.json", 0)
	if json := s.call(modular(), "describe", "-o", "json"); json != manifest {
		t.Errorf("as JSON it is\n%s\nand not the manifest", json.out)
	}
	file := filepath.Join(t.TempDir(), "warehouse.json")
	if err := os.WriteFile(file, []byte(manifest.out), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range cli.Tools() {
		if cmd.Name() != "describe" {
			continue
		}
		s.run(t.Context(), cmd, "--manifest", file).golden(t, "describe.txt", 0)
	}
	if r := s.call(modular(), "describe", "-o", "xml"); r.code != 2 || !strings.Contains(r.status, "want text, json or mermaid") {
		t.Errorf("an unknown output: %+v", r)
	}
}
