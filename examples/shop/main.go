// Command shop sells products to customers: a customer service, a product service and an event reader, each with its own database, which know each other by events only.
// They run in one process or in several, with relays of their own where that is wanted. See README.md.
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
	"slices"
	"strings"
	"syscall"
)

// options are the command line.
type options struct {
	config
	role     string
	relay    bool
	data     string
	embedded bool // neither broker nor store was named
	load     int
	output   string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, o, os.Stdout)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	flags.StringVar(&o.Broker, "broker", "", "the broker's URL, such as kafka://HOST (default: embedded)")
	flags.StringVar(&o.Store, "store", "", "the stores' URL, such as postgres://HOST/DATABASE, where each service has a schema, or with {service} in it: sqlite:{service}.db (default: SQLite files)")
	flags.StringVar(&o.data, "data", "", "keep what is embedded, and SQLite files, in this folder (default: a temporary folder)")
	flags.StringVar(&o.role, "role", "all", "what this process runs: customers, products, reader or all")
	flags.BoolVar(&o.relay, "relay", true, "publish what the services commit; --relay=false leaves that to 'tidings relay'")
	flags.StringVar(&o.Prefix, "prefix", "", "begin the names of topics and services with this, where several shops share a broker")
	flags.StringVar(&o.Addr, "addr", "127.0.0.1:8080", "where to listen; port 0 is any free one")
	flags.IntVar(&o.load, "load", 0, "make this many requests as fast as possible, read everything back, print a summary and end")
	flags.StringVar(&o.output, "o", "text", "how to print the summary: text or json")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.Roles, o.NoRelay = []string{o.role}, !o.relay
	if o.role == "all" {
		o.Roles = []string{customers, products, readers}
	}
	return o, o.check(flags.Args())
}

func (o *options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q: want flags only", rest[0])
	case !slices.Contains([]string{customers, products, readers, "all"}, o.role):
		return fmt.Errorf("--role %q: want customers, products, reader or all", o.role)
	case o.load < 0:
		return fmt.Errorf("--load %d: want a positive number", o.load)
	case o.load > 0 && (o.role != "all" || !o.relay):
		return errors.New("--load needs everything in this process: leave out --role and --relay")
	case o.output != "text" && o.output != "json":
		return fmt.Errorf("-o %q: want text or json", o.output)
	}
	return nil
}

// run opens what the services need and runs them, until ctx ends or the load is done.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	cleanUp, err := o.place()
	if err != nil {
		return err
	}
	defer cleanUp()
	level := slog.LevelInfo
	if o.load > 0 {
		level = slog.LevelWarn
	}
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	s, err := newShop(ctx, o.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return s.during(ctx, func(ctx context.Context) error {
		if o.load > 0 {
			return s.load(ctx, o, out)
		}
		if _, err := io.WriteString(out, welcome(&o, s.web.url())); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
}

// place completes the URLs: with a folder for what is embedded, which the returned function removes if it is a temporary one, and with a schema for each service.
func (o *options) place() (cleanUp func(), err error) {
	cleanUp, o.embedded = func() {}, o.Broker == "" && o.Store == ""
	if o.data == "" && (o.Broker == "" || o.Store == "") {
		if o.data, cleanUp, err = temporary(); err != nil {
			return cleanUp, err
		}
	}
	if o.data, err = filepath.Abs(o.data); err != nil {
		return cleanUp, err
	}
	o.Broker = cmp.Or(o.Broker, "embedded:"+url.PathEscape(o.data))
	o.Store = cmp.Or(o.Store, "sqlite:"+url.PathEscape(o.data)+"/"+placeholder+".db")
	o.Store, err = storeOfEach(o.Store)
	return cleanUp, err
}

func temporary() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "shop-")
	return dir, func() { _ = os.RemoveAll(dir) }, err // what stays is the system's to clean up
}

// storeOfEach is a store's URL in which each service has a place of its own.
func storeOfEach(store string) (string, error) {
	if strings.Contains(store, placeholder) {
		return store, nil
	}
	if !strings.HasPrefix(store, "postgres") {
		return "", fmt.Errorf("--store: each service has a database of its own: write %s where its name belongs, as in sqlite:%[1]s.db", placeholder)
	}
	separator := "?"
	if strings.Contains(store, separator) {
		separator = "&"
	}
	return store + separator + "schema=" + placeholder + "&search_path=" + placeholder, nil
}
