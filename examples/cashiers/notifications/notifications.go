// Package notifications tells people what happens: it sends mails, and keeps a statement for each tenant. It is a service of its own, in a process of its own if one
// likes, and knows the others by their public events only.
//
// The two show what exactly once means. A statement is rows in a database, which are committed together with the note that the event was handled: nothing is
// written twice. A mail can't be taken back when a transaction fails, and may be sent again after a crash. So it has the event's idempotency key as its Message-ID,
// by which the mail server knows it again.
package notifications

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
	"github.com/tidings-go/tidings/store"
)

// Schema makes the service's tables. Lines are not unique on purpose: one that is written twice is two rows, and the report counts them.
const Schema = `CREATE TABLE IF NOT EXISTS statements (
	tenant_id TEXT   PRIMARY KEY,
	lines     BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS statement_lines (
	tenant_id  TEXT   NOT NULL,
	line       BIGINT NOT NULL, -- counts the lines as they were written
	revision   BIGINT NOT NULL, -- of the tenant's books, as the event says
	event      TEXT   NOT NULL,
	invoice_id TEXT   NOT NULL,
	text       TEXT   NOT NULL
);
CREATE INDEX IF NOT EXISTS statement_lines_tenant ON statement_lines (tenant_id);
CREATE TABLE IF NOT EXISTS mails (
	message_id TEXT   PRIMARY KEY,
	tenant_id  TEXT   NOT NULL,
	event      TEXT   NOT NULL,
	about      TEXT   NOT NULL, -- the event's subject
	recipient  TEXT   NOT NULL,
	subject    TEXT   NOT NULL,
	sent_at    BIGINT NOT NULL, -- microseconds since 1970
	sent       BIGINT NOT NULL  -- how often: more than once after a crash
)`

// Config says what the service works with.
type Config struct {
	// DB is the database of the app's store.
	DB *sql.DB
	// Mailer sends the mails. Default: they are logged.
	Mailer Mailer
	// Retry says how often and when a mail is sent again that could not be sent. Default: 10 times in about a minute.
	Retry tidings.Retry
	Log   *slog.Logger
}

type notifications struct {
	Config
	module *tidings.Module
}

// Add adds the service's module to an app.
func Add(app *tidings.App, cfg Config) {
	if cfg.Mailer == nil {
		cfg.Mailer = Log(cfg.Log)
	}
	n := &notifications{Config: cfg, module: app.AddModule("notifications")}
	// There is no order between topics, so each has a subscription of its own: mails about one tenant's invoices come in the order of its books.
	n.module.Subscribe(tidings.Subscription{Name: "cashier-mails", Retry: cfg.Retry},
		tidings.On(appdomain.CashierCreated, n.cashierCreated),
		tidings.On(appdomain.CashierDeleted, n.cashierDeleted))
	n.module.Subscribe(tidings.Subscription{Name: "invoice-mails", Retry: cfg.Retry},
		tidings.On(invoicing.InvoiceCreated, n.invoiceCreated),
		tidings.On(invoicing.InvoicePaid, n.invoicePaid))
	n.module.Subscribe(tidings.Subscription{Name: "update-mails", Retry: cfg.Retry},
		tidings.On(invoicing.InvoiceUpdated, n.invoiceUpdated))
	// The versions of UserCreated are on a topic each. Nobody is welcomed twice, so order doesn't matter.
	n.module.Subscribe(tidings.Subscription{Name: "user-mails", Retry: cfg.Retry, Unordered: true},
		tidings.On(appdomain.UserCreatedV1, n.userCreatedV1),
		tidings.On(appdomain.UserCreatedV2, n.userCreatedV2))
	// Statements don't wait for the mail server: they are a subscription of their own.
	n.module.Subscribe(tidings.Subscription{Name: "statements"},
		tidings.OnTx(invoicing.InvoiceCreated, writeInvoice),
		tidings.OnTx(invoicing.InvoicePaid, writePayment))
	n.module.Serve(tidings.Serve(LatestMails, n.latest), tidings.Serve(ReadStatement, n.statement))
}

func (n *notifications) cashierCreated(ctx context.Context, e appdomain.Created) error {
	return n.mail(ctx, e.TenantID, Mail{
		To: office(e.TenantID), Subject: "New cashier " + e.Cashier.Name,
		Text: fmt.Sprintf("%s <%s> works in region %s now.", e.Cashier.Name, e.Cashier.Email, e.Region),
	})
}

func (n *notifications) cashierDeleted(ctx context.Context, e appdomain.Deleted) error {
	return n.mail(ctx, e.TenantID, Mail{
		To: office(e.TenantID), Subject: "Cashier " + e.CashierID + " has left",
		Text: fmt.Sprintf("%s no longer works in region %s.", e.CashierID, e.Region),
	})
}

// userCreatedV1 gets users that were created before there was a v2. Of users that come in both versions, userCreatedV2 gets the newer.
func (n *notifications) userCreatedV1(ctx context.Context, e appdomain.UserV1) error {
	return n.mail(ctx, e.TenantID, Mail{To: e.Email, Subject: "Welcome, " + e.Name, Text: "You are a user of " + e.TenantID + "."})
}

func (n *notifications) userCreatedV2(ctx context.Context, e appdomain.UserV2) error {
	return n.mail(ctx, e.TenantID, Mail{
		To: e.Email, Subject: "Welcome, " + e.Name,
		Text: fmt.Sprintf("You are a user of %s since %s.", e.TenantID, e.CreatedDate.Format("2 January 2006")),
	})
}

func (n *notifications) invoiceCreated(ctx context.Context, e invoicing.Created) error {
	return n.mail(ctx, e.TenantID, Mail{
		To: office(e.TenantID), Subject: "Invoice " + e.InvoiceID,
		Text: fmt.Sprintf("%d × %s for %s. Entry %d in the books of %s.", e.Quantity, e.SKU, euros(e.Amount), e.Revision, e.TenantID),
	})
}

func (n *notifications) invoicePaid(ctx context.Context, e invoicing.Paid) error {
	return n.mail(ctx, e.TenantID, Mail{
		To: office(e.TenantID), Subject: "Invoice " + e.InvoiceID + " is paid",
		Text: fmt.Sprintf("%s on %s. Entry %d in the books of %s.", euros(e.AmountPaid), e.PaidDate.Format("2 January 2006"), e.Revision, e.TenantID),
	})
}

func (n *notifications) invoiceUpdated(ctx context.Context, e invoicing.Updated) error {
	return n.mail(ctx, e.TenantID, Mail{To: office(e.TenantID), Subject: "Invoice " + e.InvoiceID + " is " + string(e.Status), Text: "Thank you."})
}

func office(tenant string) string { return "office@" + tenant + ".example" }

func euros(cents int64) string { return fmt.Sprintf("%d.%02d EUR", cents/100, cents%100) }

// mail sends a mail about the event that is being handled, and then notes that. Between the two it may die, and then it sends the mail again, with the same id.
// No transaction is open while it waits for the mail server.
func (n *notifications) mail(ctx context.Context, tenant string, m Mail) error {
	m.ID = tidings.IdempotencyKey(ctx)
	event, _ := tidings.MessageFrom(ctx)
	if err := n.Mailer(ctx, m); err != nil {
		return fmt.Errorf("notifications: %w", err)
	}
	return tidings.InTx(ctx, n.module, func(ctx context.Context, tx *store.SQLTx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO mails (message_id, tenant_id, event, about, recipient, subject, sent_at, sent)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 1) ON CONFLICT (message_id) DO UPDATE SET sent = mails.sent + 1`,
			m.ID, tenant, event.Type, event.Subject, m.To, m.Subject, time.Now().UnixMicro())
		if err != nil {
			return fmt.Errorf("notifications: note the mail to %s: %w", m.To, err)
		}
		return nil
	})
}

func writeInvoice(ctx context.Context, tx *store.SQLTx, e invoicing.Created) error {
	return write(ctx, tx, line{e.TenantID, e.Revision, invoicing.InvoiceCreated.Definition().Type(), e.InvoiceID, "invoice over " + euros(e.Amount)})
}

func writePayment(ctx context.Context, tx *store.SQLTx, e invoicing.Paid) error {
	return write(ctx, tx, line{e.TenantID, e.Revision, invoicing.InvoicePaid.Definition().Type(), e.InvoiceID, "paid " + euros(e.AmountPaid)})
}

// line is one of a tenant's statement.
type line struct {
	tenant               string
	revision             int64
	event, invoice, text string
}

func write(ctx context.Context, tx *store.SQLTx, l line) error {
	var n int64
	err := tx.QueryRowContext(ctx, `INSERT INTO statements (tenant_id, lines) VALUES ($1, 1)
		ON CONFLICT (tenant_id) DO UPDATE SET lines = statements.lines + 1 RETURNING lines`, l.tenant).Scan(&n)
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO statement_lines (tenant_id, line, revision, event, invoice_id, text) VALUES ($1, $2, $3, $4, $5, $6)`,
			l.tenant, n, l.revision, l.event, l.invoice, l.text)
	}
	if err != nil {
		return fmt.Errorf("notifications: statement of %s: %w", l.tenant, err)
	}
	return nil
}
