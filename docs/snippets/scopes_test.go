package snippets_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidings-go/tidings"
)

// StockCounted is how the shop's own modules tell each other what is on the shelves.
type StockCounted struct {
	Article string `json:"article" tidings:"key"`
	Left    int    `json:"left"`
}

var counted = tidings.Define[StockCounted]("shop", "StockCounted", "v1", tidings.Internal, tidings.Entity("article"))

func Example_scopes() {
	for _, topology := range []tidings.Topology{tidings.Scoped{Env: "prod"}, tidings.Shared{}} {
		for _, e := range []tidings.Defined{placed, counted} {
			topic, err := topology.PublishTopic("shop", e.Definition())
			fmt.Println(topic, err)
		}
	}
	// Output:
	// prod.shop.public.orders.v1 <nil>
	// prod.shop.internal.articles.v1 <nil>
	// events <nil>
	// internal-events.svc-shop.StockCounted <nil>
}

// Another service that subscribes to it does not start.
func Example_internal() {
	app := newApp("analytics")
	app.Subscribe(tidings.Subscription{Name: "shelves"}, tidings.On(counted, func(context.Context, StockCounted) error { return nil }))
	for _, p := range app.Problems(context.Background()) {
		_, text, _ := strings.Cut(p.String(), ": ")
		fmt.Println(text)
	}
	// Output:
	// subscription shelves reads shop.StockCounted.v1, which is internal to domain "shop" of another service: ask its owner for a public event
}
