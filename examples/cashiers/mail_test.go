package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
	"github.com/tidings-go/tidings/examples/cashiers/notifications"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/internal/testenv"
)

// mailbox is a mailer that keeps what it is to send.
type mailbox struct {
	mu    sync.Mutex
	mails []notifications.Mail
}

func (b *mailbox) take(_ context.Context, m notifications.Mail) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mails = append(b.mails, m)
	return nil
}

// to are the mails to one address.
func (b *mailbox) to(address string) []notifications.Mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.mails), func(m notifications.Mail) bool { return m.To != address })
}

// has wants exactly these mails, as "subject: beginning of text", in any order.
func (b *mailbox) has(want ...string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mails) != len(want) {
		return fmt.Errorf("mails %v", b.mails)
	}
	for _, w := range want {
		if !slices.ContainsFunc(b.mails, func(m notifications.Mail) bool { return strings.HasPrefix(m.Subject+": "+m.Text, w) }) {
			return fmt.Errorf("mails %v: no %q", b.mails, w)
		}
	}
	return nil
}

// While the mails of one busy tenant are stuck, all others get theirs, and statements are written for everybody. Each tenant's mails come in the order of its books.
func TestAHotTenantStopsNobodyEmbedded(t *testing.T) {
	t.Parallel()
	testHotTenant(t, embeddedPlace(t))
}

func TestAHotTenantStopsNobodyOnKafkaAndPostgreSQL(t *testing.T) {
	t.Parallel()
	testHotTenant(t, realPlace(t))
}

func testHotTenant(t *testing.T, p place) {
	t.Helper()
	const hot, others, theirs = 200, 8, 10
	cfg := open(t, p)
	var box mailbox
	release := make(chan struct{})
	cfg.Mailer = func(ctx context.Context, m notifications.Mail) error {
		if m.To == "office@hot.example" {
			select {
			case <-release:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return box.take(ctx, m)
	}
	s := start(t, cfg)
	released := sync.OnceFunc(func() { close(release) })
	t.Cleanup(released) // or the system would wait for its mails
	invoice := func(tenant string) {
		trial.Ask(t, s.cashiers, invoicing.CreateInvoice, invoicing.NewInvoice{TenantID: tenant, SKU: "gold", Quantity: 1, Amount: 1})
	}
	for range hot {
		invoice("hot")
	}
	for n := range others {
		for range theirs {
			invoice(fmt.Sprint("other-", n))
		}
	}
	inOrder := func(tenant string, want int) error {
		mails := box.to("office@" + tenant + ".example")
		for i, m := range mails {
			if subject := fmt.Sprintf("Invoice %s-%d", tenant, i+1); m.Subject != subject {
				t.Fatalf("mail %d to %s is about %s", i+1, tenant, m.Subject)
			}
		}
		if len(mails) != want {
			return fmt.Errorf("%d mails to %s", len(mails), tenant)
		}
		return nil
	}
	testenv.Eventually(t, time.Minute, func() error {
		var err error
		for n := range others {
			err = errors.Join(err, inOrder(fmt.Sprint("other-", n), theirs))
		}
		return err
	})
	awaitReport(t, s, func(r summary) bool { return r.Lines == hot+others*theirs && r.OutOfOrder == 0 })
	if n := len(box.to("office@hot.example")); n != 0 {
		t.Errorf("%d mails of the hot tenant were not stuck", n)
	}
	released()
	testenv.Eventually(t, time.Minute, func() error { return inOrder("hot", hot) })
}

// While there is no mail server, a mail is tried again and again, and becomes a dead letter. When the server is back, the tool has it sent.
func TestAMailServerThatIsDown(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(t *testing.T) place{"memory and SQLite": memoryPlace, "Kafka and PostgreSQL": realPlace} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testMailServer(t, where(t))
		})
	}
}

func testMailServer(t *testing.T, p place) {
	t.Helper()
	const attempts = 4
	address := fmt.Sprint("127.0.0.1:", testenv.FreePort(t))
	cfg := open(t, p)
	cfg.MailRetry = tidings.Retry{Attempts: attempts, Min: 40 * time.Millisecond}
	var mu sync.Mutex
	var tried []time.Time
	send := notifications.SMTP(address)
	cfg.Mailer = func(ctx context.Context, m notifications.Mail) error {
		mu.Lock()
		tried = append(tried, time.Now())
		mu.Unlock()
		return send(ctx, m)
	}
	s := start(t, cfg)
	trial.Ask(t, s.cashiers, invoicing.CreateInvoice, invoicing.NewInvoice{TenantID: "acme", SKU: "gold", Quantity: 1, Amount: 4205})
	awaitReport(t, s, func(r summary) bool { return r.DeadLetters == 1 && r.Mails == 0 && r.Lines == 1 })
	mu.Lock()
	if len(tried) != attempts || tried[attempts-1].Sub(tried[0]) < 40*time.Millisecond {
		t.Errorf("tried at %v", tried)
	}
	mu.Unlock()

	server := startMailServer(t, address)
	retry := exec.CommandContext(t.Context(), tool.Path(t), "deadletters", "retry", "--subscription", "notifications-"+cfg.Env+".invoice-mails", "--yes", "--store", p.store)
	if out, err := retry.CombinedOutput(); err != nil || !strings.Contains(string(out), "retry: 1 dead letters") {
		t.Fatalf("%v: %s", err, out)
	}
	awaitReport(t, s, func(r summary) bool { return r.DeadLetters == 0 && r.Mails == 1 })
	mails := server.delivered()
	if len(mails) != 1 || !strings.HasPrefix(mails[0].id, "notifications-"+cfg.Env+".invoice-mails:/cashiers-"+cfg.Env+":") ||
		mails[0].to != "office@acme.example" || mails[0].subject != "Invoice acme-1" || mails[0].text != "1 × gold for 42.05 EUR. Entry 1 in the books of acme." {
		t.Errorf("delivered %+v", mails)
	}
}

// A mailbox that does not exist will not exist in a second either. Its mail is a dead letter at once, and holds up no other.
func TestAMailboxThatDoesNotExist(t *testing.T) {
	t.Parallel()
	cfg := open(t, memoryPlace(t))
	server := startMailServer(t, "127.0.0.1:0")
	server.refuseMailsTo("nobody@acme.example")
	cfg.Mailer = notifications.SMTP(server.addr)
	s := start(t, cfg)
	for user, name := range map[string]string{"nobody": "Nobody", "zoe": "Zoë Müller"} {
		trial.Ask(t, s.cashiers, appdomain.CreateUser, appdomain.NewUser{TenantID: "acme", UserID: user, Name: name, Email: user + "@acme.example"})
	}
	awaitReport(t, s, func(r summary) bool { return r.DeadLetters == 1 && r.Mails == 1 })
	if got := stats(s.notifications, "user-mails"); got.Failed != 1 || got.Dead != 1 {
		t.Errorf("%+v", got)
	}
	if mails := server.delivered(); len(mails) != 1 || mails[0].subject != "Welcome, Zoë Müller" || server.takenMails() != 1 {
		t.Errorf("delivered %+v", mails)
	}
}

// A mail that is sent again has the same id, by which the server knows it.
func TestAMailThatComesAgainIsOneMail(t *testing.T) {
	t.Parallel()
	server := startMailServer(t, "127.0.0.1:0")
	send := notifications.SMTP(server.addr)
	for _, id := range []string{"a:/b:1", "a:/b:2", "a:/b:1"} {
		if err := send(t.Context(), notifications.Mail{ID: id, To: "ada@acme.example", Subject: "Hello", Text: ".\nline"}); err != nil {
			t.Fatal(err)
		}
	}
	if mails := server.delivered(); len(mails) != 2 || mails[0].id != "a:/b:1" || mails[0].text != ".\nline" || server.takenMails() != 3 {
		t.Errorf("delivered %+v", mails)
	}
}
