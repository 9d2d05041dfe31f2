package tidings_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/internal/testenv"
)

// moduleCount is how many modules a city has.
const moduleCount = 20

// city is an app of many modules that are added in a random order, depend on each other at random, publish while they start, and read each other.
type city struct {
	app     *tidings.App
	rand    *rand.Rand
	modules []*tidings.Module
	fails   int // the module whose start fails; -1: none

	mu    sync.Mutex
	steps []string
	// sent are the messages by event, got those that came by subscription, and reads says which event a subscription reads.
	sent  map[string][]string
	got   map[string][]string
	reads map[string]string
}

func newCity(seed uint64, cfg tidings.Config) *city {
	c := &city{
		rand: rand.New(rand.NewPCG(seed, 0)), modules: make([]*tidings.Module, moduleCount), fails: -1,
		sent: map[string][]string{}, got: map[string][]string{}, reads: map[string]string{},
	}
	cfg.Service, cfg.Log, cfg.Stop = cmp.Or(cfg.Service, "city"), slog.New(slog.DiscardHandler), 10*time.Second
	c.app = tidings.New(cfg)
	for _, n := range c.rand.Perm(moduleCount) {
		c.add(n)
	}
	return c
}

func moduleName(n int) string { return fmt.Sprintf("m%02d", n) }

// add makes a module that depends on up to two others of a smaller number, publishes up to three messages at start, and has
// two subscriptions and a raw one, found by discovery.
func (c *city) add(n int) {
	var dependsOn []string
	for range c.rand.IntN(3) {
		if n > 0 {
			dependsOn = append(dependsOn, moduleName(c.rand.IntN(n)))
		}
	}
	name := moduleName(n)
	m := c.app.AddModule(name, dependsOn...)
	c.modules[n] = m
	event := tidings.Define[order](name, "Started", "v1", tidings.Internal)
	m.Emits(event)
	count := c.rand.IntN(4)
	m.OnStart(func(ctx context.Context) error {
		c.step("+" + name)
		for i := range count {
			message := event.New(order{"a", i})
			if err := m.Direct().Publish(ctx, message); err != nil {
				return err
			}
			c.note(c.sent, name, message.ID)
		}
		if c.fails == n {
			return errors.New("out of order")
		}
		return nil
	})
	m.OnStop(func(context.Context) error { c.step("-" + name); return nil })

	other := moduleName(c.rand.IntN(moduleCount))
	typed := tidings.Named(other, "Started", "v1")
	c.subscribe(m, name+"-one", other, typed)
	c.subscribe(m, name+"-two", other, typed)
	m.Discover(func(catalog *tidings.Catalog) error {
		found, ok := catalog.Event(other, "Started", "v1")
		if !ok {
			return fmt.Errorf("%s emits nothing", other)
		}
		c.subscribe(m, name+"-raw", other, found.Event())
		return nil
	})
}

func (c *city) subscribe(m *tidings.Module, name, of string, event *tidings.Event[tidings.Raw]) {
	c.reads[name] = of
	m.Subscribe(tidings.Subscription{Name: name}, tidings.On(event, func(ctx context.Context, _ tidings.Raw) error {
		message, _ := tidings.MessageFrom(ctx)
		c.note(c.got, name, message.ID)
		return nil
	}))
}

func (c *city) step(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps = append(c.steps, s)
}

func (c *city) note(in map[string][]string, name, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in[name] = append(in[name], id)
}

// missing says what a subscription lacks, or has had twice.
func (c *city) missing() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.reads)) {
		got := slices.Sorted(slices.Values(c.got[name]))
		if want := slices.Sorted(slices.Values(c.sent[c.reads[name]])); !slices.Equal(got, want) {
			return fmt.Errorf("subscription %s got %v of %v", name, got, want)
		}
	}
	return nil
}

// mirrored says whether exactly what was started was stopped, in reverse.
func (c *city) mirrored() error {
	n := len(c.steps) / 2
	for i, step := range c.steps[:n] {
		if stop := c.steps[len(c.steps)-1-i]; stop[1:] != step[1:] || step[0] != '+' || stop[0] != '-' {
			return fmt.Errorf("the stop does not mirror the start: %v", c.steps)
		}
	}
	if len(c.steps)%2 != 0 {
		return fmt.Errorf("the stop does not mirror the start: %v", c.steps)
	}
	return nil
}

// Whatever the order in which modules are added and started, nobody misses what anybody publishes at start.
func TestModulesInAnyOrder(t *testing.T) {
	t.Parallel()
	orders := uint64(100)
	if testenv.Soak() {
		orders = 500
	}
	for seed := range orders {
		synctest.Test(t, func(t *testing.T) {
			b := memory.New(memory.Config{Partitions: 1})
			defer func() { _ = b.Close() }()
			c := newCity(seed, tidings.Config{Broker: b})
			stop := run(t, c.app)
			pass(time.Second)
			stop()
			if err := errors.Join(c.missing(), c.mirrored()); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// A start that fails half-way stops what had started, in reverse, and nothing else.
func TestAFailedStartIsRolledBackInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			b := memory.New(memory.Config{Partitions: 1})
			defer func() { _ = b.Close() }()
			c := newCity(seed, tidings.Config{Broker: b})
			c.fails = c.rand.IntN(moduleCount)
			err := c.app.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "start module "+moduleName(c.fails)+": out of order") {
				t.Errorf("seed %d: Run = %v", seed, err)
			}
			if err := c.mirrored(); err != nil || !slices.Contains(c.steps, "+"+moduleName(c.fails)) {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
	}
}

func TestModulesInAnyOrderOnEmbeddedNATS(t *testing.T) {
	t.Parallel()
	testModulesOn(t, openNATS(t), 50)
}

func TestModulesInAnyOrderOnKafka(t *testing.T) {
	t.Parallel()
	testModulesOn(t, openKafka(t), 10)
}

// testModulesOn plays one order, and in a soak as many as said.
func testModulesOn(t *testing.T, b broker.Broker, soak uint64) {
	t.Helper()
	orders := uint64(1)
	if testenv.Soak() {
		orders = soak
	}
	for seed := range orders {
		env := "modules-" + uuid.NewString()[:8] // topics and groups of a shared server must be the test's own
		cfg := tidings.Config{Service: env, Broker: b, Topology: tidings.Scoped{Env: env}}
		for n := range moduleCount {
			cfg.Topics = append(cfg.Topics, broker.Topic{Name: fmt.Sprintf("%s.m%02d.internal.m%02ds.v1", env, n, n), Partitions: 1})
		}
		c := newCity(seed, cfg)
		stop := run(t, c.app)
		testenv.Eventually(t, time.Minute, c.missing)
		stop()
		if err := c.mirrored(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// The end begins with the intake: what is in hand is finished, nothing more is taken, and only then modules stop.
func TestStopDrainsBeforeModulesStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed)
		var steps inbox[string]
		app.Subscribe(tidings.Subscription{Name: "slow", Concurrency: 1}, tidings.On(placed, func(_ context.Context, o order) error {
			<-time.After(time.Second)
			steps.add(fmt.Sprint("handled ", o.N))
			return nil
		}))
		app.OnStop(func(context.Context) error { steps.add("stopped"); return nil })
		stop := run(t, app)
		for n := range 3 {
			if err := placed.Publish(t.Context(), app.Direct(), order{"a", n}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Second / 2)
		stop()
		if got := fmt.Sprint(steps.all()); got != "[handled 0 stopped]" {
			t.Errorf("steps %s", got)
		}
	})
}
