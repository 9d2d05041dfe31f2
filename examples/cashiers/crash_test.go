package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/tidings-go/tidings/examples/cashiers/notifications"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestNothingIsLostWhenItIsKilledEmbeddedInOneProcess(t *testing.T) {
	t.Parallel()
	here := embeddedPlace(t)
	testKills(t, here, nil, crash{commands: 300, kills: 3}, "all")
}

func TestNothingIsLostWhenEitherIsKilledOnNATSAndSQLite(t *testing.T) {
	t.Parallel()
	testKills(t, place{testenv.NATS(t) + "?lease_ttl=2s", trial.SQLite(t, "cashiers.db")}, nil, crash{commands: 400, kills: 4}, "api", "notifications")
}

func TestNothingIsLostWhenEitherIsKilledOnKafkaAndPostgreSQL(t *testing.T) {
	t.Parallel()
	p := realPlace(t)
	var member func(role string) string
	if !testenv.Soak() { // then nobody has to wait until the dead are given up
		p.store += "&lease=2s"
		member = func(role string) string { return "&instance_id=" + role + "-1" }
	}
	testKills(t, p, member, crash{commands: 400, kills: 4}, "api", "notifications")
}

// crash says how much is to happen.
type crash struct{ commands, kills int }

// testKills gives commands, and kills processes of these roles (SIGKILL) in the middle, each as often as the others, in random order and at random moments. In the end
// every accepted command's events are handled once in effect, also by the mail server.
func testKills(t *testing.T, p place, member func(role string) string, c crash, roles ...string) {
	t.Helper()
	if testenv.Soak() {
		c = crash{commands: 10_000, kills: 30}
	}
	server, env := startMailServer(t, "127.0.0.1:0"), trial.Name("t")
	var processes []*trial.Process
	for _, r := range roles {
		url := p.broker
		if member != nil {
			url += member(r)
		}
		processes = append(processes, trial.Start(t, trial.Program(t,
			"--role", r, "--broker", url, "--store", p.store, "--env", env, "--smtp", server.addr, "--addr", "127.0.0.1:0")))
	}
	var order []*trial.Process
	for range c.kills / len(roles) {
		order = append(order, processes...)
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })

	l, ended := newLoad(processes[0].URL, c.commands), make(chan error, 1)
	began := time.Now()
	go func() { ended <- l.run(t.Context()) }()
	for i, victim := range order {
		testenv.Eventually(t, 5*time.Minute, func() error { // so that they are killed in the middle
			if n := l.answered(); n < (i+1)*c.commands/(len(order)+1) {
				return fmt.Errorf("%d commands", n)
			}
			return nil
		})
		<-time.After(rand.N(20 * time.Millisecond))
		victim.Kill()
		victim.Again()
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	s := settle(t, p, env, server, processes)
	r, err := s.report(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	l.fill(&r, took)
	if !r.Fine() || r.Commands != c.commands || r.Mails < c.commands {
		t.Errorf("%+v, %v", r, l.failed)
	}
	mails := server.delivered()
	if len(mails) != r.Mails || server.takenMails() < len(mails) {
		t.Errorf("%d mails were noted, and %d delivered", r.Mails, len(mails))
	}
	if err := inOrder(mails, r.Entries); err != nil {
		t.Error(err)
	}
	t.Logf("%d kills: %+v; %d mails were delivered, and %d came again", len(order), r, len(mails), server.takenMails()-len(mails))
}

// settle waits until everything has come to rest, ends the processes, and returns a system that can read everything back.
func settle(t *testing.T, p place, env string, server *mailServer, processes []*trial.Process) *system {
	t.Helper()
	look := func() *system {
		cfg := open(t, p)
		cfg.Env, cfg.Mailer = env, notifications.SMTP(server.addr)
		s, err := newSystem(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if p.broker == p.store { // what is embedded can be looked into when its process has ended: so that runs once more, to the end
		processes[0].Interrupt()
		s := look()
		trial.Run(t, s.during)
		if err := s.rest(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := look()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := s.rest(ctx); err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		p.Interrupt()
	}
	return s
}

var entryPattern = regexp.MustCompile(`Entry (\d+) in the books of (\S+)\.$`)

// inOrder wants a mail for each entry in the books, each tenant's in their order.
func inOrder(mails []deliveredMail, entries int64) error {
	last, n := map[string]int{}, int64(0)
	for _, m := range mails {
		e := entryPattern.FindStringSubmatch(m.text)
		if e == nil {
			continue
		}
		entry, err := strconv.Atoi(e[1])
		if n++; err != nil || entry != last[e[2]]+1 {
			return fmt.Errorf("after entry %d of %s comes %s", last[e[2]], e[2], e[1])
		}
		last[e[2]] = entry
	}
	if n != entries {
		return fmt.Errorf("%d mails about %d entries", n, entries)
	}
	return nil
}

// The check itself can fail.
func TestMailsOutOfOrderAreNoticed(t *testing.T) {
	books := func(entries ...int) (mails []deliveredMail) {
		for _, e := range entries {
			mails = append(mails, deliveredMail{text: fmt.Sprintf("1 EUR. Entry %d in the books of acme.", e)}, deliveredMail{text: "Thank you."})
		}
		return mails
	}
	for _, bad := range [][]deliveredMail{books(1, 3, 2), books(1, 1, 2), books(2, 3), books(1, 2)} {
		if inOrder(bad, 3) == nil {
			t.Errorf("nothing is wrong with %v", bad)
		}
	}
	if err := inOrder(books(1, 2, 3), 3); err != nil {
		t.Error(err)
	}
}
