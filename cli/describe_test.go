package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/cli"
)

type weigh struct {
	OrderID string `json:"order_id"`
}

var weighed = tidings.DefineRequest[weigh, int]("stock", "Weigh", "v1")

// modular is a service with two modules, one of which asks the other.
func modular() *tidings.App {
	a := tidings.New(tidings.Config{Service: "warehouse", Owns: []string{"shop"}, Topology: tidings.Scoped{}})
	orders := a.AddModule("orders", "stock")
	orders.Emits(placed, shipped)
	orders.Calls(weighed)
	stock := a.AddModule("stock")
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
