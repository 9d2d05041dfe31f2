package snippets_test

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings"
)

// PriceOf is a question with an answer: the price in cents.
type PriceOf struct {
	Article string `json:"article"`
}

var priceOf = tidings.DefineRequest[PriceOf, int]("shop", "PriceOf", "v1")

// addPrices is the module that knows prices.
func addPrices(app *tidings.App) {
	prices := map[string]int{"tea": 420}
	app.AddModule("prices").Serve(tidings.Serve(priceOf, func(_ context.Context, q PriceOf) (int, error) {
		cents, ok := prices[q.Article]
		if !ok {
			return 0, fmt.Errorf("there is no article %q: %w", q.Article, tidings.CodeNotFound)
		}
		return cents, nil
	}))
}

func Example_calls() {
	app := newApp("shop")
	addPrices(app)
	till := app.AddModule("till", "prices") // it starts when prices has started
	done := make(chan struct{})
	till.OnStart(func(ctx context.Context) error {
		defer close(done)
		cents, err := priceOf.Call(ctx, till, PriceOf{Article: "tea"})
		fmt.Println(cents, err)
		_, err = priceOf.Call(ctx, till, PriceOf{Article: "coffee"})
		fmt.Println(tidings.CodeOf(err))
		return nil
	})
	runUntil(app, done)
	// Output:
	// 420 <nil>
	// not-found
}
