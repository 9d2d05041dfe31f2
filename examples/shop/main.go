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
	"net/url"
	"slices"
	"strings"

	"github.com/tidings-go/tidings/examples/internal/program"
)

// options are the command line.
type options struct {
	config
	role     string
	relay    bool
	data     string
	embedded bool // neither broker nor store was named
	program.Flags
}

func main() { program.Main("shop", parse, run) }

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
	if err := o.Parse(flags, args); err != nil {
		return o, err
	}
	o.Roles, o.NoRelay = []string{o.role}, !o.relay
	if o.role == "all" {
		o.Roles = []string{customers, products, readers}
	}
	return o, o.check()
}

func (o *options) check() error {
	switch {
	case !slices.Contains([]string{customers, products, readers, "all"}, o.role):
		return fmt.Errorf("--role %q: want customers, products, reader or all", o.role)
	case o.Load > 0 && (o.role != "all" || !o.relay):
		return errors.New("--load needs everything in this process: leave out --role and --relay")
	}
	return nil
}

// run opens what the services need and runs them, until ctx ends or the load is done.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	dir, cleanUp, err := program.Folder("shop", o.data, o.Broker == "" || o.Store == "")
	if err != nil {
		return err
	}
	defer cleanUp()
	if err = o.place(dir); err != nil {
		return err
	}
	o.Log = o.Logger()
	s, err := newShop(ctx, o.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return s.during(ctx, func(ctx context.Context) error {
		if o.Load > 0 {
			return s.load(ctx, o, out)
		}
		if _, err := io.WriteString(out, welcome(&o, s.web.URL())); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
}

// place completes the URLs: with the folder for what is embedded, and with a schema for each service.
func (o *options) place(dir string) (err error) {
	o.data, o.embedded = dir, o.Broker == "" && o.Store == ""
	o.Broker = cmp.Or(o.Broker, "embedded:"+url.PathEscape(dir))
	o.Store = cmp.Or(o.Store, "sqlite:"+url.PathEscape(dir)+"/"+placeholder+".db")
	o.Store, err = storeOfEach(o.Store)
	return err
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
