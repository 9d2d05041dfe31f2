package tidings_test

import (
	"testing"

	"github.com/tidings-go/tidings"
)

func TestTopologies(t *testing.T) {
	t.Parallel()
	define := func(domain, name, version string, options ...tidings.Option) tidings.Definition {
		return tidings.Define[struct{}](domain, name, version, options...).Definition()
	}
	made := define("tickets", "BookingMade", "v1")
	updated := define("tickets", "InternalOpsReadModelUpdated", "v1", tidings.Internal)
	tests := []struct {
		name          string
		topology      tidings.Topology
		def           tidings.Definition
		publish, read string
	}{
		{"scoped public", tidings.Scoped{}, define("appdomain", "CashierCreated", "v1", tidings.Entity("Cashier")), "dev.appdomain.public.cashiers.v1", ""},
		{"scoped internal without version", tidings.Scoped{Env: "prod"}, define("invoicing", "PaymentReconciled", "v1", tidings.Internal, tidings.Entity("payment"), tidings.TopicVersion("")), "prod.invoicing.internal.payments", ""},
		{"scoped with topic and domain of its own", tidings.Scoped{}, define("appdomain", "InvoiceUpdated", "v2", tidings.Topic("invoice-updates"), tidings.TopicDomain("invoicing")), "dev.invoicing.public.invoice-updates.v2", ""},
		{"scoped default entity", tidings.Scoped{}, made, "dev.tickets.public.tickets.v1", ""},
		{"scoped singular", tidings.Scoped{}, define("shop", "Counted", "v1", tidings.Entity("StockLevel"), tidings.Singular()), "dev.shop.public.stock-level.v1", ""},
		{"shared public", tidings.Shared{}, made, "events", "events.BookingMade"},
		{"shared internal", tidings.Shared{}, updated, "internal-events.svc-tickets.InternalOpsReadModelUpdated", ""},
		{"fixed", tidings.Fixed{}, define("customer", "created", "v1", tidings.Topic("customer-events")), "customer-events", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := test.read
			if want == "" {
				want = test.publish
			}
			publish, err := test.topology.PublishTopic("tickets", test.def)
			if err != nil || publish != test.publish {
				t.Errorf("publish topic %q, %v; want %q", publish, err, test.publish)
			}
			read, err := test.topology.SubscribeTopic("tickets", test.def)
			if err != nil || read != want {
				t.Errorf("read topic %q, %v; want %q", read, err, want)
			}
		})
	}
	if _, err := (tidings.Fixed{}).PublishTopic("tickets", made); err == nil {
		t.Error("Fixed placed an event that names no topic")
	}
}
