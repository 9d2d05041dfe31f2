// Package tidingstest tests a service's events in virtual time: the app runs on a broker and a store in memory, retries and schedules take no time, and what brokers and
// processes do to a service can be done on purpose.
//
// A test runs in a bubble of testing/synctest, and registers what main registers:
//
//	func TestABookingIsPrinted(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			k := tidingstest.New(t, tidings.Config{Service: "tickets"}, tickets.Register)
//			k.Deliver(tickets.Made.New(tickets.BookingMade{ShowID: "hamlet", Seats: 2}))
//			if got := tidingstest.Published(k, tickets.Printed); len(got) != 1 {
//				t.Errorf("printed %v", got)
//			}
//		})
//	}
//
// [Kit.Redeliver] gives the app everything once more, as brokers may. [Kit.FailNext] makes the broker or the store fail. [Kit.CrashAt] kills the app at one of its
// steps and starts it again, and [EveryCrash] does that at each of them. [Kit.Advance] moves the clock to where scheduled messages are due.
//
// The virtual clock stands still while anything runs. It can't pass while a test's own code waits for the network or for a lock; see testing/synctest.
package tidingstest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/store"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// Kit is an app under test. After a crash its App is another one, so don't keep it.
type Kit struct {
	*tidings.App

	t        testing.TB
	cfg      tidings.Config
	register []func(*tidings.App)
	// server is where the test itself publishes and reads; the app has a client of its own in each of its lives.
	server *memory.Broker
	store  store.Store
	life   *life

	mu        sync.Mutex
	published []broker.Record
	known     map[identity]bool // of what is published
	steps     int               // that the app has taken, in all of its lives
	limit     int               // how many of them may be taken before Quiet must have seen the app at rest
	crashAt   int               // the step at which it dies; 0: none
	crashed   bool
	failures  int // how many operations are still to fail
}

// New starts an app with cfg, and ends it with the test. The broker is in memory; so is the store, unless cfg has one that works in virtual time. The register functions
// make modules, subscriptions and so on; they are called again after a crash, so what has to survive one belongs outside of them.
func New(tb testing.TB, cfg tidings.Config, register ...func(*tidings.App)) *Kit {
	tb.Helper()
	cfg.Service = cmp.Or(cfg.Service, "test")
	cfg.Stop = cmp.Or(cfg.Stop, time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(&logWriter{tb}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	k := &Kit{t: tb, cfg: cfg, register: register, server: memory.New(memory.Config{Partitions: 2}), store: cfg.Store, known: map[identity]bool{}, limit: maxSteps}
	if k.store == nil {
		k.store = memorystore.New()
	}
	k.start()
	tb.Cleanup(func() {
		if err := k.life.end(); err != nil {
			tb.Errorf("tidingstest: the app ended with: %v", err)
		}
		if err := k.server.Close(); err != nil {
			tb.Error(err)
		}
	})
	return k
}

// start begins a life of the app.
func (k *Kit) start() {
	k.t.Helper()
	l := &life{kit: k, broker: k.server.Connect(), ended: make(chan error, 1)}
	cfg := k.cfg
	cfg.Broker, cfg.Store = l, &lifeStore{Store: k.store, life: l}
	app := tidings.New(cfg)
	for _, register := range k.register {
		register(app)
	}
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(k.t.Context()))
	k.App, k.life = app, l
	go func() { l.ended <- app.Run(ctx) }()
	select {
	case <-app.Ready():
	case err := <-l.ended:
		l.ended <- nil
		if !l.isDead() {
			k.t.Fatalf("tidingstest: the app did not start: %v", err)
		}
	}
}

// Quiet waits until the app has nothing to do: everything that was published is handled or a dead letter, and what was committed is sent. The clock moves on while
// something waits for its next attempt. What is scheduled for later stays scheduled. An app that has crashed is started again first.
func (k *Kit) Quiet() {
	k.t.Helper()
	const patience, grace, longest = 5_000, 10 * time.Millisecond, time.Second
	k.mu.Lock()
	k.limit = k.steps + maxSteps
	k.mu.Unlock()
	pause := time.Millisecond
	for range patience {
		k.settle()
		if k.count() >= k.limit {
			break
		}
		if k.life.isDead() {
			k.restart()
			continue
		}
		if !k.idle() {
			<-time.After(pause)
			pause = min(2*pause, longest)
			continue
		}
		before := k.count()
		<-time.After(grace)
		if k.settle(); !k.life.isDead() && k.idle() && k.count() == before {
			return
		}
	}
	k.life.kill()
	k.t.Fatal("tidingstest: the app does not come to rest: something publishes, or fails, for ever, or is paused")
}

// maxSteps is more than any test needs. An app that takes more is stopped, since the clock would stand still for ever.
const maxSteps = 20_000

// settle waits until all goroutines wait for each other or for the clock.
func (k *Kit) settle() {
	k.t.Helper()
	defer func() {
		if p := recover(); p != nil {
			k.t.Fatalf("tidingstest: the test must run inside of synctest.Test: %v", p)
		}
	}()
	synctest.Wait()
}

// idle reports whether nothing is in hand and nothing is due.
func (k *Kit) idle() bool {
	for _, s := range k.Stats() {
		if s.InFlight > 0 {
			return false
		}
	}
	for row, err := range k.store.List(context.Background(), store.Filter{States: []store.State{store.Ready}}) {
		if err != nil || !row.Due.After(time.Now()) {
			return false
		}
	}
	return true
}

func (k *Kit) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.steps
}

// Advance moves the clock by d, and waits until the app has done what has become due.
func (k *Kit) Advance(d time.Duration) {
	k.t.Helper()
	k.Quiet()
	if d > 0 {
		<-time.After(d)
	}
	k.Quiet()
}

// Deliver publishes messages as another service would, and waits until the app is quiet. They come to subscriptions and listeners, and don't count as published.
func (k *Kit) Deliver(messages ...tidings.Message) {
	k.t.Helper()
	outside := tidings.New(tidings.Config{Service: "outside", Broker: k.server, Log: k.cfg.Log})
	for _, m := range messages {
		topics := k.topics(m.Type)
		if len(topics) == 0 {
			k.t.Fatalf("tidingstest: deliver %s: the app has no event of that type", m.Type)
		}
		m.Source = cmp.Or(m.Source, "/outside")
		for _, topic := range topics {
			if err := outside.Forward(context.Background(), topic, m); err != nil {
				k.t.Fatalf("tidingstest: deliver %s: %v", m.Type, err)
			}
		}
	}
	k.Quiet()
}

// topics are where the app publishes and reads events of a type; of all types, if that is empty.
func (k *Kit) topics(typ string) []string {
	var topics []string
	for _, e := range k.Catalog().All() {
		if typ == "" || e.Type() == typ {
			topics = append(topics, e.PublishTopic, e.ReadTopic)
		}
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// Redeliver gives the app every message so far once more, in order, and waits until it is quiet. Brokers do that with some of them whenever a process or a
// connection ends: whoever handles a message must bear it.
func (k *Kit) Redeliver() {
	k.t.Helper()
	k.Quiet()
	for _, topic := range k.topics("") {
		records, err := k.read(topic)
		if err != nil {
			k.t.Fatalf("tidingstest: redeliver: %v", err)
		}
		k.server.Publish(context.Background(), records, func(_ int, _ broker.Receipt, err error) {
			if err != nil {
				k.t.Errorf("tidingstest: redeliver: %v", err)
			}
		})
	}
	k.Quiet()
}

// read returns all records of a topic, without the ids by which the broker would know them again.
func (k *Kit) read(topic string) ([]broker.Record, error) {
	var mu sync.Mutex
	var records []broker.Record
	err := k.server.Consume(context.Background(), broker.Reader{Topics: []string{topic}, ToEnd: true}, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 1000, 1<<30)
			if err != nil {
				return
			}
			mu.Lock()
			for _, d := range deliveries {
				d.ID = ""
				records = append(records, d.Record)
			}
			mu.Unlock()
		}
	})
	return records, err
}

// Published waits until the app is quiet, and returns the payloads of all messages of an event that the app has published since the beginning, live ones too. A message
// that was sent twice, because the app crashed in between, is there once.
func Published[T any](k *Kit, event *tidings.Event[T]) []T {
	k.t.Helper()
	k.Quiet()
	k.mu.Lock()
	defer k.mu.Unlock()
	var payloads []T
	for i := range k.published {
		r := &k.published[i]
		if typ, _ := r.Header("ce-type"); typ != event.Definition().Type() {
			continue
		}
		payload, err := event.Decode(r.Value)
		if err != nil {
			k.t.Errorf("tidingstest: published: %v", err)
		}
		payloads = append(payloads, payload)
	}
	return payloads
}

// DeadLetters waits until the app is quiet, and returns what its subscriptions have given up on.
func (k *Kit) DeadLetters() []store.Row {
	k.t.Helper()
	k.Quiet()
	var rows []store.Row
	for row, err := range k.store.List(context.Background(), store.Filter{States: []store.State{store.Dead}}) {
		if err != nil {
			k.t.Fatalf("tidingstest: dead letters: %v", err)
		}
		rows = append(rows, row)
	}
	return rows
}

// logWriter writes the app's log into the test's.
type logWriter struct{ t testing.TB }

func (w *logWriter) Write(line []byte) (int, error) {
	w.t.Logf("%s", line)
	return len(line), nil
}

var (
	_ io.Writer = (*logWriter)(nil)
	// errCrashed is what an app hears that is dead already.
	errCrashed = errors.New("tidingstest: the app has crashed")
	errFailed  = errors.New("tidingstest: failed on purpose")
)
