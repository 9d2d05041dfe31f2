// Package cli is the command line of a service: what has to know the service's events and subscriptions, as commands of the user's own binary.
//
//	func main() {
//		app := tidings.New(…)
//		os.Exit(cli.Run(context.Background(), app))
//	}
//
//	shop run                          run the service
//	shop manifest > shop.json         what the service consists of, for where the binary is not
//	shop describe                     the same for people, as a table or a picture
//	shop topics plan                  what would be created or changed at the broker
//	shop topics apply                 do it
//	shop topics check                 compare, for CI
//	shop doctor                       everything that is known to be wrong, and what to do about it
//	shop subscriptions                who reads, and how far behind
//	shop tail BookingMade             events as they come
//
// The same commands work without the binary, on the manifest that it wrote: tidings topics plan --manifest shop.json --broker kafka://….
//
// What a command says goes to standard output, everything else to standard error. With -o json that is one document, or one line for each event.
// Exit codes: 0 all is well, 1 something failed or is wrong, 2 the call makes no sense, 100 a plan that is not empty.
package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings"
)

// Run runs the command that the process's arguments name, until ctx ends or the process is told to, and returns the exit code.
func Run(ctx context.Context, app *tidings.App) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // whoever asks a second time does not want to wait
	cmd := Command(app)
	return Report(os.Stderr, cmd.Name(), cmd.ExecuteContext(ctx))
}

// Command is the service's command line, to be run by [Run] or made a part of another one.
func Command(app *tidings.App) *cobra.Command {
	from := &source{app: app}
	root := &cobra.Command{
		Use: "service", Short: "A service and its tools", SilenceErrors: true, SilenceUsage: true, Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	if d, err := app.Describe(); err == nil && d.Service != "" { // what is wrong is said by the command that is run
		root.Use, root.Short = d.Service, fmt.Sprintf("The service %s and its tools", d.Service)
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(runCommand(app), manifestCommand(from))
	root.AddCommand(commands(from)...)
	return root
}

// Tools are the commands for programs that have no app: they take a manifest and the URLs of broker and store.
func Tools() []*cobra.Command { return commands(&source{}) }

func commands(from *source) []*cobra.Command {
	all := []*cobra.Command{describeCommand(from), topicsCommand(from), doctorCommand(from), subscriptionsCommand(from), tailCommand(from)}
	for _, cmd := range all {
		cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	}
	return all
}

func runCommand(app *tidings.App) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the service until it is interrupted",
		Args:  NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return app.Run(cmd.Context()) },
	}
}

func manifestCommand(from *source) *cobra.Command {
	return &cobra.Command{
		Use:   "manifest",
		Short: "Print what the service consists of, as JSON",
		Long:  "Print modules, events, subscriptions and topics as JSON, for tools that run where the service's binary is not. It needs neither broker nor store.",
		Args:  NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := from.app.Describe()
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), d)
		},
	}
}
