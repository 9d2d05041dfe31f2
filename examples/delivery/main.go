// Command delivery takes orders, ships them, takes payments, notifies customers and keeps a ledger: five modules in one binary, which know each other by events
// and requests. See README.md.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tidings-go/tidings/connect"
)

// options are the command line.
type options struct {
	broker, store string
	data, env     string
	auditWait     time.Duration
	addr          string
	load          int
	output        string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, o, os.Stdout)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "delivery:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("delivery", flag.ContinueOnError)
	flags.StringVar(&o.broker, "broker", "", "the broker's URL, such as nats://HOST (default: embedded)")
	flags.StringVar(&o.store, "store", "", "the store's URL, such as postgres://HOST/DATABASE or sqlite:FILE (default: embedded)")
	flags.StringVar(&o.data, "data", "", "keep what is embedded in this folder (default: a temporary folder)")
	flags.StringVar(&o.env, "env", "dev", "the environment, with which names of topics begin; one environment has one database")
	flags.DurationVar(&o.auditWait, "audit-wait", 5*time.Second, "how long the audit lets an order wait for nine others")
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "where to listen; port 0 is any free one")
	flags.IntVar(&o.load, "load", 0, "make this many requests as fast as possible, read everything back, print a summary and end")
	flags.StringVar(&o.output, "o", "text", "how to print the summary: text or json")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q: want flags only", flags.Arg(0))
	case o.load < 0:
		return o, fmt.Errorf("--load %d: want a positive number", o.load)
	case o.output != "text" && o.output != "json":
		return o, fmt.Errorf("-o %q: want text or json", o.output)
	}
	return o, nil
}

// run opens broker and store and runs the system on them, until ctx ends or the load is done.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	dir, cleanUp, err := folder(&o)
	if err != nil {
		return err
	}
	defer cleanUp()
	level := slog.LevelInfo
	if o.load > 0 {
		level = slog.LevelWarn
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	embedded := "embedded:" + url.PathEscape(dir)
	c, err := connect.Open(ctx, connect.Config{Broker: cmp.Or(o.broker, embedded), Store: cmp.Or(o.store, embedded), SQL: true, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	s, err := newSystem(ctx, config{Connection: c, Env: o.env, AuditWait: o.auditWait, Addr: o.addr, Log: log})
	if err != nil {
		return err
	}
	return s.during(ctx, func(ctx context.Context) error {
		if o.load > 0 {
			return s.load(ctx, o, out)
		}
		if dir != "" {
			log.LogAttrs(ctx, slog.LevelInfo, "what is embedded is in a folder", slog.String("folder", dir))
		}
		if _, err := fmt.Fprintf(out, welcome, s.web.url()); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
}

// folder is the folder for what is embedded, and a function that removes it if it is a temporary one. It is empty when nothing is embedded.
func folder(o *options) (string, func(), error) {
	switch {
	case o.broker != "" && o.store != "":
		return "", func() {}, nil
	case o.data != "":
		dir, err := filepath.Abs(o.data)
		return dir, func() {}, err
	}
	dir, err := os.MkdirTemp("", "delivery-")
	return dir, func() { _ = os.RemoveAll(dir) }, err // what stays is the system's to clean up
}

// welcome says what to try. README.md has the same lines.
const welcome = `Delivery is at %[1]s
Try:

curl -s --json '{"order_id":"tea-1","customer_id":"ada","amount":4200,"currency":"EUR","items":["pot","cup"]}' %[1]s/orders
curl -s --json '{"order_id":"tea-1","amount":4200}' %[1]s/payments
curl -s --json '{"order_id":"tea-1"}' %[1]s/orders/ship
curl -s --json '{"order_id":"tea-1","place":"Hamburg","depot":true}' %[1]s/orders/move
curl -s --json '{"order_id":"tea-1"}' %[1]s/tracking
curl -s --json '{}' %[1]s/notifications
curl -s --json '{}' %[1]s/audit
curl -s %[1]s/openapi.json

Press Ctrl-C to end.
`
