package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestNothingIsLostWhenItIsKilledEmbedded(t *testing.T) {
	t.Parallel()
	p, kills := embeddedPlace(t), 2
	if testenv.Soak() {
		kills *= 10
	}
	args := []string{"--broker", p.broker, "--store", p.store, "--addr", "127.0.0.1:0", "-o", "json"}
	seen := open(t, place{"memory:", p.store}, "")
	for range kills {
		trial.KillAtWork(t, 30, func() int64 { return seen.steps(t) }, append(args, "--load", "1000000")...)
	}
	s := trial.Summary[summary](t, append(args, "--load", "200")...)
	if !s.Fine() || s.Steps < int64(30*kills) {
		t.Errorf("%+v", s)
	}
	t.Logf("%+v", s)
}

func TestNothingIsLostWhenProcessesAreKilledOnNATSAndSQLite(t *testing.T) {
	t.Parallel()
	testKills(t, place{testenv.NATS(t) + "?partitions=4&lease_ttl=2s", trial.SQLite(t, placeholder+".db")}, 1)
}

func TestNothingIsLostWhenProcessesAreKilledOnKafkaAndPostgreSQL(t *testing.T) {
	t.Parallel()
	testKills(t, realPlace(t), 1)
}

// testKills runs each service, and the relays of the two that publish, as processes of their own, under load. A second reader joins, and each process is killed (SIGKILL)
// and started again. In the end nothing is lost, doubled or out of order, and every change that a client was told of is there.
func testKills(t *testing.T, p place, rounds int) {
	t.Helper()
	if testenv.Soak() {
		rounds *= 10
	}
	f := &fleet{t: t, place: p, prefix: newPrefix(), load: newLoad(""), processes: map[string]*trial.Process{}}
	l := f.load
	seen := open(t, p, f.prefix)
	for _, name := range []string{customers, products, readers} {
		f.run(name)
	}
	f.relay(customers)
	f.relay(products)

	loaded := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(loaded)
		l.run(ctx, 1_000_000)
	}()
	defer func() {
		cancel()
		<-loaded
	}()

	seen.progress(t, l)
	f.run(second)
	seen.members(t, 2)
	for range rounds {
		for _, victim := range []string{"relay of customers", readers, customers, "relay of products", products, second} {
			seen.progress(t, l)
			<-time.After(rand.N(100 * time.Millisecond))
			f.processes[victim].Kill()
			if victim == readers { // the other one does all of the work meanwhile
				seen.progress(t, l)
			}
			f.processes[victim].Again()
			f.tell(victim)
		}
	}
	seen.progress(t, l)
	l.left.Store(0)
	<-loaded
	resting, end := context.WithTimeout(t.Context(), 3*time.Minute)
	defer end()
	s, err := seen.reportAtRest(resting, l)
	if err != nil || !s.Fine() || s.Steps+s.Views != s.Events {
		t.Errorf("%v, %+v", err, s)
	}
	if s.Again == 0 {
		t.Error("no client had to ask again: nobody was killed at work")
	}
	t.Logf("%+v", s)
}

// second is the reader that joins.
const second = "second reader"

// fleet is a shop as many processes.
type fleet struct {
	t         *testing.T
	place     place
	prefix    string
	load      *load
	processes map[string]*trial.Process
}

// run starts a service.
func (f *fleet) run(name string) {
	f.t.Helper()
	f.processes[name] = trial.Start(f.t, trial.Program(f.t, "--broker", f.place.broker, "--store", f.place.store, "--prefix", f.prefix,
		"--relay=false", "--role", strings.TrimPrefix(name, "second "), "--addr", "127.0.0.1:0"))
	f.tell(name)
}

// tell waits until a service has started, and tells clients where it is now.
func (f *fleet) tell(name string) {
	f.t.Helper()
	if strings.HasPrefix(name, "relay of ") {
		return
	}
	f.processes[name].Lines("")
	f.load.mu.Lock()
	defer f.load.mu.Unlock()
	f.load.urls[name] = f.processes[name].URL()
}

// relay starts the relay of a service.
func (f *fleet) relay(name string) {
	f.t.Helper()
	store := strings.ReplaceAll(f.place.store, placeholder, name)
	cmd := exec.CommandContext(context.WithoutCancel(f.t.Context()), tool.Path(f.t), "relay", "--broker", f.place.broker, "--store", store)
	f.processes["relay of "+name] = trial.Start(f.t, cmd)
}

// steps are how many the reader has taken.
func (s *shop) steps(t *testing.T) (n int64) {
	t.Helper()
	if err := s.service(readers).DB.QueryRowContext(t.Context(), `SELECT count(*) FROM steps`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// progress waits until clients and reader have come further, so that what is killed next is at work.
func (s *shop) progress(t *testing.T, l *load) {
	t.Helper()
	requests, steps := l.done(), s.steps(t)
	testenv.Eventually(t, 90*time.Second, func() error {
		if more, taken := l.done()-requests, s.steps(t)-steps; more < 30 || taken < 30 {
			return fmt.Errorf("%d requests and %d steps more", more, taken)
		}
		return nil
	})
}

// members waits until the reader has so many replicas.
func (s *shop) members(t *testing.T, want int) {
	t.Helper()
	testenv.Eventually(t, 60*time.Second, func() error {
		states, err := s.broker.Topics(t.Context(), broker.Survey, broker.Topic{Name: s.Prefix + customer.Topic})
		if err != nil {
			return err
		}
		for _, r := range states[0].Readers {
			if r.Group == s.Prefix+readers+".customers" && r.Members == want {
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("readers %+v", states[0].Readers))
	})
}
