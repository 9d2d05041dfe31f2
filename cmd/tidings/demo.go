package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/examples/tickets"
)

// demoOptions are the flags of tidings demo.
type demoOptions struct {
	bookings int64
	input    string
	data     string
	broker   string
	store    string
	addr     string
	output   string
	sabotage string
}

// bounded reports whether the demo ends by itself.
func (o *demoOptions) bounded() bool { return o.bookings > 0 || o.input != "" }

func demo() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the ticket platform, embedded or on a broker and a store of yours",
		Long: `Run the ticket platform of examples/tickets with broker and store inside this process, or where --broker and --store say.

Without flags it makes bookings at a gentle rate until Ctrl-C; open the page that it names. With --bookings or --input it makes
bookings as fast as it can, waits until everything has come to rest, reads everything back and prints a summary. It exits with 1 if
anything was lost, doubled or out of order, or if a line of the input was bad.

On a broker of yours the first platform has the topics "events", "events.BookingMade" and so on. A later one, with a database of its own, leaves
them alone: its topics begin with a name that it prints, and that its database remembers. A database goes with the broker that it began on.`,
		Example: `  tidings demo
  tidings demo --bookings 5000 -o json
  tidings demo --data ./data --bookings 100000     (run it again after a crash: it makes what is missing)
  tidings demo --broker kafka://localhost:9092 --store sqlite:demo.db --bookings 5000
  echo '{"show":"hamlet","customer":"Ada","seats":2}' | tidings demo --input -`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("bookings") && o.bookings == 0 || cmd.Flags().Changed("input") && o.input == "" {
				return usageError{errors.New("--bookings wants a positive number, and --input a file or -")}
			}
			if err := o.check(); err != nil {
				return err
			}
			return runDemo(cmd.Context(), o, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&o.bookings, "bookings", 0, "make bookings until there are this many in total, and a refund for every tenth")
	flags.StringVar(&o.input, "input", "", "read bookings as JSON Lines from this file, or from standard input with -")
	flags.StringVar(&o.data, "data", "", "keep the data in this folder, and go on from what is there (default: a temporary folder)")
	flags.StringVar(&o.broker, "broker", "", "the broker's URL: nats://HOST, kafka://HOST and so on (default: embedded, in the folder)")
	flags.StringVar(&o.store, "store", "", "the store's URL: postgres://HOST/DATABASE, sqlite:FILE and so on (default: SQLite, in the folder)")
	flags.StringVar(&o.addr, "addr", "", `where page and API listen (default "127.0.0.1:8080", or any free port with --bookings and --input)`)
	flags.StringVarP(&o.output, "output", "o", "text", "how to print the summary: text or json")
	flags.StringVar(&o.sabotage, "sabotage", "", "break one thing, to see that the summary shows it: lose, dup, order or leak")
	_ = flags.MarkHidden("sabotage") // it fails only for a flag that does not exist
	return cmd
}

func (o *demoOptions) check() error {
	switch {
	case o.bookings < 0:
		return usageError{fmt.Errorf("--bookings %d: want a positive number", o.bookings)}
	case o.bookings > 0 && o.input != "":
		return usageError{errors.New("--bookings and --input: want one of them")}
	case o.broker != "" && o.store != "" && o.data != "":
		return usageError{errors.New("--data: with --broker and --store there is nothing to keep in a folder")}
	case o.output != "text" && o.output != "json":
		return usageError{fmt.Errorf("--output %q: want text or json", o.output)}
	}
	if o.sabotage != "" {
		if _, err := tickets.ParseSabotage(o.sabotage); err != nil {
			return usageError{err}
		}
	}
	fallback := "127.0.0.1:8080"
	if o.bounded() {
		fallback = "127.0.0.1:0"
	}
	o.addr = cmp.Or(o.addr, fallback)
	return nil
}

// runDemo opens broker and store, runs the platform on them, and does what the options ask for meanwhile.
func runDemo(ctx context.Context, o demoOptions, in io.Reader, out, status io.Writer) (err error) {
	dir, cleanUp, err := demoFolder(o.data)
	if err != nil {
		return err
	}
	defer cleanUp()
	log := slog.New(slog.NewTextHandler(status, &slog.HandlerOptions{Level: slog.LevelWarn}))
	folder := "embedded:" + url.PathEscape(dir)
	c, err := connect.Open(ctx, connect.Config{Broker: cmp.Or(o.broker, folder), Store: cmp.Or(o.store, folder), SQL: true, Log: log})
	if err != nil {
		return o.unlessInterrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()

	b := c.Broker
	if o.sabotage != "" {
		b = tickets.Sabotage(o.sabotage).Broker(b)
	}
	platform, err := tickets.New(ctx, tickets.Config{Broker: b, Store: c.Store, DB: c.DB, Shared: o.broker != "", Addr: o.addr, Log: log})
	if err != nil {
		return o.unlessInterrupted(ctx, err)
	}
	if name := platform.Name(); o.broker != "" && name != "tickets" {
		fmt.Fprintf(status, "Another platform has the plain topics on this broker. This one's begin with %q.\n", name+".events")
	}
	d := &demoRun{options: o, platform: platform, in: in, out: out, status: status}
	return d.run(ctx)
}

// demoFolder is the folder for the data, and a function that removes it if it is a temporary one.
func demoFolder(data string) (string, func(), error) {
	if data != "" {
		dir, err := filepath.Abs(data)
		if err != nil {
			return "", nil, fmt.Errorf("find the folder %s: %w", data, err)
		}
		return dir, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "tidings-demo-")
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	return filepath.Clean(dir), func() { _ = os.RemoveAll(dir) }, nil // what stays is the system's to clean up
}
