// Package demo is the ticket platform as a command: the program examples/tickets, and 'tidings demo'.
package demo

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

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/examples/tickets/platform"
)

// options are the flags.
type options struct {
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
func (o *options) bounded() bool { return o.bookings > 0 || o.input != "" }

// examples are calls of the command, which is called %[1]s.
const examples = `  %[1]s
  %[1]s --bookings 5000 -o json
  %[1]s --data ./data --bookings 100000     (run it again after a crash: it makes what is missing)
  %[1]s --broker kafka://localhost:9092 --store sqlite:demo.db --bookings 5000
  echo '{"show":"hamlet","customer":"Ada","seats":2}' | %[1]s --input -`

// Command is the command with this name. In its examples it is called as call says, such as "tidings demo".
func Command(name, call string) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   name,
		Short: "Run the ticket platform, embedded or on a broker and a store of yours",
		Long: `Run the ticket platform of examples/tickets with broker and store inside this process, or where --broker and --store say.

Without flags it makes bookings at a gentle rate until Ctrl-C; open the page that it names. With --bookings or --input it makes
bookings as fast as it can, waits until everything has come to rest, reads everything back and prints a summary. It exits with 1 if
anything was lost, doubled or out of order, or if a line of the input was bad.

On a broker of yours the first platform has the topics "events", "events.BookingMade" and so on. A later one, with a database of its own, leaves
them alone: its topics begin with a name that it prints, and that its database remembers. A database goes with the broker that it began on.`,
		Example:       fmt.Sprintf(examples, call),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("bookings") && o.bookings == 0 || cmd.Flags().Changed("input") && o.input == "" {
				return cli.Usage(errors.New("--bookings wants a positive number, and --input a file or -"))
			}
			if err := o.check(); err != nil {
				return err
			}
			return execute(cmd.Context(), o, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usage(err) })
	o.add(cmd)
	return cmd
}

func (o *options) add(cmd *cobra.Command) {
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
}

func (o *options) check() error {
	switch {
	case o.bookings < 0:
		return cli.Usage(fmt.Errorf("--bookings %d: want a positive number", o.bookings))
	case o.bookings > 0 && o.input != "":
		return cli.Usage(errors.New("--bookings and --input: want one of them"))
	case o.broker != "" && o.store != "" && o.data != "":
		return cli.Usage(errors.New("--data: with --broker and --store there is nothing to keep in a folder"))
	case o.output != "text" && o.output != "json":
		return cli.Usage(fmt.Errorf("--output %q: want text or json", o.output))
	}
	if o.sabotage != "" {
		if _, err := platform.ParseSabotage(o.sabotage); err != nil {
			return cli.Usage(err)
		}
	}
	fallback := "127.0.0.1:8080"
	if o.bounded() {
		fallback = "127.0.0.1:0"
	}
	o.addr = cmp.Or(o.addr, fallback)
	return nil
}

// execute opens broker and store, runs the platform on them, and does what the options ask for meanwhile.
func execute(ctx context.Context, o options, in io.Reader, out, status io.Writer) (err error) {
	dir, cleanUp, err := folder(o.data)
	if err != nil {
		return err
	}
	defer cleanUp()
	log := slog.New(slog.NewTextHandler(status, &slog.HandlerOptions{Level: slog.LevelWarn}))
	here := "embedded:" + url.PathEscape(dir)
	c, err := connect.Open(ctx, connect.Config{Broker: cmp.Or(o.broker, here), Store: cmp.Or(o.store, here), SQL: true, Log: log})
	if err != nil {
		return o.unlessInterrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()

	b := c.Broker
	if o.sabotage != "" {
		b = platform.Sabotage(o.sabotage).Broker(b)
	}
	p, err := platform.New(ctx, platform.Config{Broker: b, Store: c.Store, DB: c.DB, Shared: o.broker != "", Addr: o.addr, Log: log})
	if err != nil {
		return o.unlessInterrupted(ctx, err)
	}
	if name := p.Name(); o.broker != "" && name != "tickets" {
		fmt.Fprintf(status, "Another platform has the plain topics on this broker. This one's begin with %q.\n", name+".events")
	}
	r := &run{options: o, platform: p, in: in, out: out, status: status}
	return r.run(ctx)
}

// folder is the folder for the data, and a function that removes it if it is a temporary one.
func folder(data string) (string, func(), error) {
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
