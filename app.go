package tidings

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// Config configures an app. Service and Broker are required.
type Config struct {
	// Service names the service: the source of its messages is "/{service}", its groups are "{service}.{subscription}", and its default domain is
	// the same. Lower-case letters, digits and '-'.
	Service string
	// Broker carries the messages: embedded.Open, nats.Open, memory.New.
	Broker broker.Broker
	// Store keeps outbox, inbox and dead letters beside the service's data. Without one there are no transactions, and dead letters go to
	// the topic "{group}.dead-letters".
	Store store.Store
	// Topology names the topics. Default Scoped{Env: "dev"}.
	Topology Topology
	// Owns lists the domains whose events the service may emit, and whose internal events it may read. Default: Service. Modules add their names.
	Owns []string
	// Topics sets partitions, retention or external ownership of topics, by name. Others have the broker's defaults.
	Topics []broker.Topic
	// MaxMessageBytes is the largest message, with its headers, that may be published. Default 1,000,000; the broker may have a lower limit.
	MaxMessageBytes int
	// Remote lets requests go between processes, over the broker's live path: public requests that nobody in this app serves are asked elsewhere,
	// and those that it serves are answered to everybody. The memory broker, NATS and Redis can carry them; Check refuses it on Kafka.
	Remote bool
	// NoRelay leaves what is committed to the outbox to a relay in another process: "tidings relay", or a replica without NoRelay. Until one runs,
	// nothing of it is sent. Without NoRelay the app relays itself, and shares that work with whoever else does.
	NoRelay bool
	// Stop bounds how long Run waits, when it ends, for running handlers, and then for hooks, and then for the relay. Default 30 s.
	Stop time.Duration
	// Log gets what the app has to say. Default slog.Default().
	Log *slog.Logger
}

// App is a service: its events, subscriptions and modules on one broker and one store. It is itself a module, named like the service.
type App struct {
	*Module
	cfg    Config
	log    *slog.Logger
	source string
	ready  chan struct{}
	ended  chan struct{} // closed when Run has ended
	// mailbox gets the answers of other processes.
	mailbox *mailbox
	asked   sync.Map // the topics of requests that were sent: *requestCore → string
	late    chan error
	// provisioned says that Run has made every topic that a definition names; ensured are those that are known to exist besides, or before.
	provisioned atomic.Bool
	ensured     sync.Map
	discovering sync.Mutex

	mu      sync.Mutex
	modules []*Module // in the order of AddModule; the first is the service itself
	cores   map[string]*known
	// endpoints answer requests, by identity.
	endpoints map[string]*endpoint
	ran       bool          // Run was called
	started   bool          // and takes no more registrations
	checked   []*subscriber // prepared by Run
	// plain are the events without an envelope, by topic. It is made once, by Run.
	plain map[string]Definition
}

// known is what the app knows about one event.
type known struct {
	full  *core   // the definition that decides
	cores []*core // every definition with this identity
}

// New makes an app. Mistakes in the configuration are reported by Check and Run.
func New(cfg Config) *App {
	cfg.Stop = cmp.Or(cfg.Stop, 30*time.Second)
	cfg.MaxMessageBytes = cmp.Or(cfg.MaxMessageBytes, 1_000_000)
	if cfg.Topology == nil {
		cfg.Topology = Scoped{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	a := &App{
		cfg: cfg, log: cfg.Log.With(slog.String("service", cfg.Service)), source: "/" + cfg.Service,
		ready: make(chan struct{}), ended: make(chan struct{}), late: make(chan error, 1),
		cores: map[string]*known{}, endpoints: map[string]*endpoint{}, mailbox: newMailbox(cfg.Service),
	}
	a.Module = a.module(cfg.Service, nil)
	return a
}

// AddModule adds a module: a part of the service with events, subscriptions, start and stop of its own. Modules start after those that
// they depend on and stop before them.
func (a *App) AddModule(name string, dependsOn ...string) *Module { return a.module(name, dependsOn) }

func (a *App) module(name string, dependsOn []string) *Module {
	m := &Module{app: a, name: name, dependsOn: dependsOn, where: callerAt(1), emits: map[string]bool{}, started: make(chan struct{})}
	a.change("AddModule", func() { a.modules = append(a.modules, m) })
	return m
}

// Ready is closed when Run has started everything: subscriptions read, listeners listen, modules have started.
func (a *App) Ready() <-chan struct{} { return a.ready }

// Pause stops a subscription of this process from taking more messages. Those in hand are finished; its partitions stay its own.
func (a *App) Pause(subscription string) error {
	s, err := a.running(subscription)
	if err == nil {
		s.consumer.Pause()
	}
	return err
}

// Resume undoes Pause.
func (a *App) Resume(subscription string) error {
	s, err := a.running(subscription)
	if err == nil {
		s.consumer.Resume()
	}
	return err
}

func (a *App) running(subscription string) (*subscriber, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.checked {
		if s.Name == subscription {
			return s, nil
		}
	}
	return nil, fmt.Errorf("tidings: no running subscription is called %q", subscription)
}

// change registers something. After Run has begun it is too late: Run then ends with an error, since nobody would look at it.
func (a *App) change(what string, do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.started {
		do()
		return
	}
	select {
	case a.late <- fmt.Errorf("tidings: %s was called after Run (%s): register everything before, or in Discover", what, callerAt(1)):
	default:
	}
}

// learn takes note of a definition, and of those that it evolves from. The caller holds a.mu.
func (a *App) learn(c *core) {
	if c.any {
		return
	}
	for _, version := range c.versions() {
		id := version.def.identity()
		k := a.cores[id]
		if k == nil {
			k = &known{full: version}
			a.cores[id] = k
		}
		if k.full.named && !version.named {
			k.full = version
		}
		if !slices.Contains(k.cores, version) {
			k.cores = append(k.cores, version)
		}
	}
}

// definition is the complete definition of an event that may be known by its name only.
func (a *App) definition(c *core) Definition {
	if !c.named {
		return c.def
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := a.cores[c.def.identity()]; k != nil {
		return k.full.def
	}
	return c.def
}

// knows reports whether the app has a definition of a type.
func (a *App) knows(typ string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.cores[typ]
	return ok
}

// Check reports every mistake in definitions, modules, subscriptions and topics that can be found before anything runs, all at once, each
// with its place and remedy. Run calls it first.
func (a *App) Check(ctx context.Context) error {
	return joinProblems(a.Problems(ctx), Wrong)
}
