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
	"time"

	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/examples/internal/program"
)

// options are the command line.
type options struct {
	broker, store string
	data, env     string
	auditWait     time.Duration
	addr          string
	program.Flags
}

func main() { program.Main("delivery", parse, run) }

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("delivery", flag.ContinueOnError)
	flags.StringVar(&o.broker, "broker", "", "the broker's URL, such as nats://HOST (default: embedded)")
	flags.StringVar(&o.store, "store", "", "the store's URL, such as postgres://HOST/DATABASE or sqlite:FILE (default: embedded)")
	flags.StringVar(&o.data, "data", "", "keep what is embedded in this folder (default: a temporary folder)")
	flags.StringVar(&o.env, "env", "dev", "the environment, with which names of topics begin; one environment has one database")
	flags.DurationVar(&o.auditWait, "audit-wait", 5*time.Second, "how long the audit lets an order wait for nine others")
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "where to listen; port 0 is any free one")
	err := o.Parse(flags, args)
	return o, err
}

// run opens broker and store and runs the system on them, until ctx ends or the load is done.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	dir, cleanUp, err := program.Folder("delivery", o.data, o.broker == "" || o.store == "")
	if err != nil {
		return err
	}
	defer cleanUp()
	log := o.Logger()
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
		if o.Load > 0 {
			return s.load(ctx, o, out)
		}
		if dir != "" {
			log.LogAttrs(ctx, slog.LevelInfo, "what is embedded is in a folder", slog.String("folder", dir))
		}
		if _, err := fmt.Fprintf(out, welcome, s.web.URL()); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
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
