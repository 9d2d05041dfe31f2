package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidings-go/tidings/examples/cashiers/notifications"
	"github.com/tidings-go/tidings/internal/testenv"
)

// process is a part of the system in a process of its own, which can be killed and started again.
type process struct {
	t    *testing.T
	args []string
	cmd  *exec.Cmd
	log  *bytes.Buffer
	// url is where it listens: at another port in each life. Empty: not yet.
	url  atomic.Pointer[string]
	read chan struct{} // closed when what it printed is read
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, args: append(args, "--addr", "127.0.0.1:0")}
	p.start()
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.kill()
		}
		if t.Failed() {
			t.Logf("%v said at last:\n%s", p.args, p.log)
		}
	})
	return p
}

func (p *process) start() {
	p.log, p.read = &bytes.Buffer{}, make(chan struct{})
	p.url.Store(new(string))
	p.cmd = program(context.WithoutCancel(p.t.Context()), p.args...)
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(p.read)
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			if _, url, ok := strings.Cut(scanner.Text(), " is at "); ok {
				p.url.Store(&url)
			}
		}
	}()
}

func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(err)
	}
	<-p.read
	if p.cmd.Wait() == nil {
		p.t.Error("it ended before it was killed")
	}
}

// end asks it to end, as an operator does, once it has started.
func (p *process) end() {
	testenv.Eventually(p.t, time.Minute, func() error {
		if *p.url.Load() == "" {
			return errors.New("it has not started")
		}
		return nil
	})
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Error(err)
	}
	<-p.read
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("it ended with %v", err)
	}
}

func TestNothingIsLostWhenItIsKilledEmbeddedInOneProcess(t *testing.T) {
	t.Parallel()
	here := embeddedPlace(t)
	testKills(t, here, nil, crash{commands: 300, kills: 3}, "all")
}

func TestNothingIsLostWhenEitherIsKilledOnNATSAndSQLite(t *testing.T) {
	t.Parallel()
	testKills(t, place{testenv.NATS(t) + "?lease_ttl=2s", sqliteURL(t)}, nil, crash{commands: 400, kills: 4}, "api", "notifications")
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
	server, env := startMailServer(t, "127.0.0.1:0"), newEnv()
	var processes []*process
	for _, r := range roles {
		url := p.broker
		if member != nil {
			url += member(r)
		}
		processes = append(processes, startProcess(t, "--role", r, "--broker", url, "--store", p.store, "--env", env, "--smtp", server.addr))
	}
	var order []*process
	for range c.kills / len(roles) {
		order = append(order, processes...)
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })

	l, ended := newLoad(func() string { return *processes[0].url.Load() }, c.commands), make(chan error, 1)
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
		victim.kill()
		victim.start()
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
	if !r.fine() || r.Commands != c.commands || r.Mails < c.commands {
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
func settle(t *testing.T, p place, env string, server *mailServer, processes []*process) *system {
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
		processes[0].end()
		s := look()
		begin(t, s)
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
		p.end()
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
