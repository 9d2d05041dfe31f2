// Command cashiers keeps tenants' cashiers, users and invoices, and tells people by mail what happens: two services, in one process or in two, which know each
// other by events. See README.md.
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

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/examples/cashiers/notifications"
	"github.com/tidings-go/tidings/examples/internal/program"
)

// options are the command line.
type options struct {
	broker, store string
	data, env     string
	role          role
	smtp          string
	attempts      int
	addr          string
	program.Flags
}

func main() { program.Main("cashiers", parse, run) }

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("cashiers", flag.ContinueOnError)
	flags.StringVar(&o.broker, "broker", "", "the broker's URL, such as kafka://HOST (default: embedded)")
	flags.StringVar(&o.store, "store", "", "the store's URL, such as postgres://HOST/DATABASE or sqlite:FILE (default: embedded)")
	flags.StringVar(&o.data, "data", "", "keep what is embedded in this folder (default: a temporary folder)")
	flags.StringVar(&o.env, "env", "dev", "the environment, with which names of topics begin and names of services end; one environment has one database")
	flags.StringVar((*string)(&o.role), "role", string(all), "what to run: api, notifications, or all of it")
	flags.StringVar(&o.smtp, "smtp", "", "the mail server, as HOST:PORT (default: mails are logged)")
	flags.IntVar(&o.attempts, "mail-attempts", 10, "how often to send a mail before it becomes a dead letter")
	flags.StringVar(&o.addr, "addr", "", "where to listen; port 0 is any free one (default 127.0.0.1:8080, and 127.0.0.1:8081 for notifications alone)")
	if err := o.Parse(flags, args); err != nil {
		return o, err
	}
	err := o.check()
	return o, err
}

func (o *options) check() error {
	switch {
	case o.role != all && o.role != api && o.role != notifier:
		return fmt.Errorf("--role %q: want api, notifications or all", o.role)
	case o.role != all && (o.broker == "" || o.store == ""):
		return fmt.Errorf("--role %s: two processes need a broker and a store that both can reach: say --broker and --store", o.role)
	case o.attempts < 1:
		return fmt.Errorf("--mail-attempts %d: want 1 or more", o.attempts)
	case o.Load > 0 && o.role == notifier:
		return errors.New("--load: commands go to the api: say --role api or all")
	}
	if o.role == notifier {
		o.addr = cmp.Or(o.addr, "127.0.0.1:8081")
	}
	o.addr = cmp.Or(o.addr, "127.0.0.1:8080")
	return nil
}

// run opens broker and store and runs the system on them, until ctx ends or the load is done.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	dir, cleanUp, err := program.Folder("cashiers", o.data, o.broker == "" || o.store == "")
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
	cfg := config{Connection: c, Env: o.env, Role: o.role, MailRetry: tidings.Retry{Attempts: o.attempts}, Addr: o.addr, Log: log}
	if o.smtp != "" {
		cfg.Mailer = notifications.SMTP(o.smtp)
	}
	s, err := newSystem(ctx, cfg)
	if err != nil {
		return err
	}
	return s.during(ctx, func(ctx context.Context) error {
		if o.Load > 0 {
			return s.loadAndReport(ctx, o, out)
		}
		if dir != "" {
			log.LogAttrs(ctx, slog.LevelInfo, "what is embedded is in a folder", slog.String("folder", dir))
		}
		if _, err := io.WriteString(out, welcome(o.role, s.web.URL())); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
}

// welcome says what to try. README.md has the same lines.
func welcome(r role, url string) string {
	text := fmt.Sprintf("Cashiers, role %s, is at %s\nTry:\n\n", r, url)
	if r != notifier {
		text += fmt.Sprintf(tryAPI, url)
	}
	if r != api {
		text += fmt.Sprintf(tryNotifications, url)
	}
	return text + fmt.Sprintf("curl -s %s/openapi.json\n\nPress Ctrl-C to end.\n", url)
}

const (
	tryAPI = `curl -s --json '{"tenant_id":"acme","region":"north","cashier_id":"ada","name":"Ada","email":"ada@acme.example"}' %[1]s/cashiers
curl -s --json '{"tenant_id":"acme","user_id":"bo","name":"Bo","email":"bo@acme.example"}' %[1]s/users
curl -s --json '{"sku":"tea","quantity":10}' %[1]s/inventory/restock
curl -s --json '{"tenant_id":"acme","sku":"tea","quantity":3,"amount":4200}' -H 'Idempotency-Key: tea-for-acme' %[1]s/invoices
curl -s --json '{"tenant_id":"acme","sku":"tea","quantity":3,"amount":4200}' -H 'Idempotency-Key: tea-for-acme' %[1]s/invoices
curl -s --json '{"tenant_id":"acme","sku":"gold","quantity":1,"amount":9900}' %[1]s/invoices
curl -s --json '{"tenant_id":"acme","invoice_id":"acme-1","amount_paid":4200}' %[1]s/invoices/pay
curl -s --json '{"tenant_id":"acme","invoice_id":"acme-1"}' %[1]s/invoices/find
curl -s --json '{"tenant_id":"acme","cashier_id":"ada"}' %[1]s/cashiers/delete
`
	tryNotifications = `curl -s --json '{"tenant_id":"acme"}' %[1]s/statements
curl -s --json '{"tenant_id":"acme"}' %[1]s/mails
`
)
