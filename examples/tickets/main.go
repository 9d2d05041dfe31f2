// Command tickets runs a ticket platform: bookings are taken over HTTP, confirmed, printed and refunded, and shown live on a page. See README.md.
//
// It is the same program as 'tidings demo'.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/examples/tickets/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // whoever asks a second time does not want to wait
	err := demo.Command("tickets", "go run ./examples/tickets").ExecuteContext(ctx)
	stop()
	os.Exit(cli.Report(os.Stderr, "tickets", err))
}
