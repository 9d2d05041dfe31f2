package cli_test

import (
	"context"
	"fmt"
	"os"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/cli"
)

// A service's main ends with os.Exit(cli.Run(ctx, app)). Here it is called as "shop topics plan", before any topic was made.
func ExampleRun() {
	os.Args = []string{"shop", "topics", "plan"}
	b := memory.New(memory.Config{})
	defer b.Close()
	app := tidings.New(tidings.Config{
		Service: "shop", Broker: b,
		Topics: []broker.Topic{{Name: "dev.shop.public.orders.v1", Partitions: 8}},
	})
	app.Emits(placed)

	fmt.Println("exit code", cli.Run(context.Background(), app))
	// Output:
	// create dev.shop.public.orders.v1 (partitions 8)
	// exit code 100
}
