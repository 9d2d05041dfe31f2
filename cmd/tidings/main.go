// Command tidings shows what tidings does, and looks after what it runs.
//
//	tidings demo                                  the ticket platform, embedded, until Ctrl-C
//	tidings demo --broker nats://localhost        the same on a broker of yours
//	tidings demo --bookings 5000 -o json          5,000 bookings as fast as it can, and a summary that was read back
//	tidings status --data DIR                     what the demo that runs in a folder holds
//	tidings new service NAME                      code to begin with; also new event, new handler
//	tidings topics plan --manifest FILE …         what a service's topics lack; see package cli for this and the other tools
//
// It exits with 0 when all is well, 1 when something failed or is wrong, 2 when it was called wrongly, and 100 for a plan that is not empty.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/examples/tickets/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // whoever asks a second time does not want to wait
	err := root().ExecuteContext(ctx)
	stop()
	os.Exit(cli.Report(os.Stderr, "tidings", err))
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "tidings",
		Short:         "Events for Go services: demo, code to begin with, tools",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cli.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usage(err) })
	cmd.AddCommand(demo.Command("demo", "tidings demo"))
	cmd.AddCommand(statusCommand(), outboxCommand(), deadlettersCommand(), migrateCommand(), relayCommand(), newCommand())
	cmd.AddCommand(cli.Tools()...)
	return cmd
}
