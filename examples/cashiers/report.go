package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tidings-go/tidings/examples/internal/program"
)

// summary tells what became of all commands. All but the first group is worked out by reading database and broker back: what was accepted is the truth for the rows of
// the cashiers service, and these for everything that follows from them.
type summary struct {
	Commands  int `json:"commands"`
	Failed    int `json:"failed"`
	SentAgain int `json:"sent_again"`
	program.Speed

	Tenants int64 `json:"tenants"`
	// Busiest is how much has happened in the books of the tenant in whose books most has happened, and Entries how much in all.
	Busiest int64 `json:"busiest_tenant"`
	Entries int64 `json:"entries"`

	Events       int `json:"events"`
	Mails        int `json:"mails"`
	Lines        int `json:"statement_lines"`
	Reservations int `json:"reservations"`
	Settlements  int `json:"settlements"`
	// MailsAgain is how often a mail was handed to the mail server once more. That is allowed, and happens after a crash: the mail's id is the same.
	MailsAgain int64 `json:"mails_again"`

	// Lost counts what should be there and is not: rows of accepted commands, events on topics, effects of events.
	Lost int `json:"lost"`
	// Duplicate counts what is there twice, or though nothing led to it.
	Duplicate int `json:"duplicate"`
	// OutOfOrder counts lines that were written after a later one of their tenant.
	OutOfOrder int64 `json:"out_of_order"`
	// DeadLetters is how many messages were given up, and OutboxLeft how many were not sent.
	DeadLetters int64 `json:"dead_letters"`
	OutboxLeft  int64 `json:"outbox_left"`
}

// Fine reports whether nothing is wrong.
func (s *summary) Fine() bool {
	return s.Failed == 0 && s.Lost == 0 && s.Duplicate == 0 && s.OutOfOrder == 0 && s.DeadLetters == 0 && s.OutboxLeft == 0
}

// String is the summary as text.
func (s *summary) String() string {
	return fmt.Sprintf(`commands         %d (%d failed, %d sent again) in %v
tenants          %d, with %d entries in their books, of which the busiest has %d
events           %d
mails            %d (%d sent again)
statement lines  %d
reservations     %d
settlements      %d
lost             %d
duplicate        %d
out of order     %d
dead letters     %d
left in outbox   %d
`, s.Commands, s.Failed, s.SentAgain, s.Speed, s.Tenants, s.Entries, s.Busiest,
		s.Events, s.Mails, s.MailsAgain, s.Lines, s.Reservations, s.Settlements, s.Lost, s.Duplicate, s.OutOfOrder, s.DeadLetters, s.OutboxLeft)
}

// loadAndReport gives commands as fast as possible, waits until everything has come to rest, and reports.
func (s *system) loadAndReport(ctx context.Context, o options, out io.Writer) error {
	l := newLoad(s.web.URL, o.Load)
	began := time.Now()
	err := l.run(ctx)
	took := time.Since(began)
	if err != nil {
		return err
	}
	if err = s.rest(ctx); err != nil {
		return err
	}
	r, err := s.report(ctx, l)
	if err != nil {
		return err
	}
	l.fill(&r, took)
	return errors.Join(append([]error{o.Print(out, &r)}, l.failed...)...)
}

// fact is that something has happened: the type of an event, and tenant and id of what it is about.
type fact struct{ event, tenant, about string }

// What has happened, as the rows of the cashiers service say.
const facts = `
	SELECT 'appdomain.CashierCreated.v1', tenant_id, cashier_id FROM cashiers UNION ALL
	SELECT 'appdomain.CashierDeleted.v1', tenant_id, cashier_id FROM cashiers WHERE deleted UNION ALL
	SELECT 'appdomain.UserCreated.v1', tenant_id, user_id FROM users UNION ALL
	SELECT 'appdomain.UserCreated.v2', tenant_id, user_id FROM users UNION ALL
	SELECT 'invoicing.InvoiceCreated.v1', tenant_id, invoice_id FROM invoices UNION ALL
	SELECT 'invoicing.InvoicePaid.v1', tenant_id, invoice_id FROM invoices WHERE amount_paid > 0 UNION ALL
	SELECT 'invoicing.PaymentReconciled.v1', tenant_id, invoice_id FROM invoices WHERE amount_paid > 0 UNION ALL
	SELECT 'invoicing.InvoiceUpdated.v2', tenant_id, invoice_id FROM invoices WHERE amount_paid > 0`

// effects are what reactions make of events: a row for each. An invoice of what there is too little of leads to no reservation.
var effects = map[string]struct{ rows, want string }{
	"mails": {
		`SELECT event, tenant_id, about FROM mails`,
		`WITH facts (event, tenant, about) AS (` + facts + `) SELECT * FROM facts WHERE event NOT IN ('appdomain.UserCreated.v1', 'invoicing.PaymentReconciled.v1')`,
	},
	"lines": {
		`SELECT event, tenant_id, invoice_id FROM statement_lines`,
		`WITH facts (event, tenant, about) AS (` + facts + `) SELECT * FROM facts WHERE event IN ('invoicing.InvoiceCreated.v1', 'invoicing.InvoicePaid.v1')`,
	},
	"reservations": {
		`SELECT '', tenant_id, invoice_id FROM reservations`,
		`SELECT '', tenant_id, invoice_id FROM invoices WHERE EXISTS (SELECT 1 FROM inventory WHERE inventory.sku = invoices.sku AND stock >= quantity)`,
	},
	"payments": {
		`SELECT '', tenant_id, invoice_id FROM payments`,
		`SELECT '', tenant_id, invoice_id FROM invoices WHERE amount_paid > 0`,
	},
	"settlements": {
		`SELECT '', tenant_id, invoice_id FROM settlements`,
		`SELECT '', tenant_id, invoice_id FROM invoices WHERE amount_paid > 0`,
	},
}

// report reads everything back. Ask when the system has come to rest; before, what is under way is counted as lost. l is what was asked for; nil: nobody knows.
func (s *system) report(ctx context.Context, l *load) (summary, error) {
	r := reader{ctx: ctx, system: s}
	var sum summary
	compare := func(want, got []fact) int {
		lost, duplicate := compare(want, got)
		sum.Lost += lost
		sum.Duplicate += duplicate
		return len(got)
	}
	happened := r.facts(facts)
	if l != nil {
		var ours, accepted []fact
		for _, f := range happened {
			if strings.HasPrefix(f.tenant, l.tenants) {
				ours = append(ours, f)
			}
		}
		for f := range l.accepted {
			accepted = append(accepted, f)
		}
		compare(accepted, ours)
	}
	sum.Events = compare(happened, r.events())
	counts := map[string]int{}
	for name, e := range effects {
		counts[name] = compare(r.facts(e.want), r.facts(e.rows))
	}
	sum.Mails, sum.Lines, sum.Reservations, sum.Settlements = counts["mails"], counts["lines"], counts["reservations"], counts["settlements"]
	sum.MailsAgain = r.count(`SELECT COALESCE(CAST(SUM(sent - 1) AS BIGINT), 0) FROM mails`)
	sum.Tenants = r.count(`SELECT count(*) FROM books`)
	sum.Busiest = r.count(`SELECT COALESCE(MAX(revision), 0) FROM books`)
	sum.Entries = r.count(`SELECT COALESCE(CAST(SUM(revision) AS BIGINT), 0) FROM books`)
	sum.OutOfOrder = r.count(`SELECT count(*) FROM (
		SELECT revision, MAX(revision) OVER (PARTITION BY tenant_id ORDER BY line ROWS UNBOUNDED PRECEDING) AS highest FROM statement_lines) AS lines WHERE revision < highest`)
	if r.err == nil {
		sum.OutboxLeft, sum.DeadLetters, r.err = program.Waiting(ctx, s.Store)
	}
	return sum, r.err
}

// compare counts what is wanted and not there, and what is there and not wanted, or more than once.
func compare(want, got []fact) (lost, duplicate int) {
	open := map[fact]bool{}
	for _, f := range want {
		open[f] = true
	}
	for _, f := range got {
		if !open[f] {
			duplicate++
		}
		delete(open, f)
	}
	return len(open), duplicate
}
