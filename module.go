package tidings

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// Host is an *App or a *Module.
type Host interface{ host() *Module }

// Module is a part of a service: the events that it emits, its subscriptions and listeners, what it does at start and stop. An [App] is a
// module too. Everything is registered before [App.Run].
type Module struct {
	app       *App
	name      string
	dependsOn []string
	where     string

	// The app's mutex guards what follows.
	emits     map[string]bool
	emitted   []*core
	subs      []*subscriber
	listeners []*listening
	discover  []func(*Catalog) error
	onStart   []func(context.Context) error
	onStop    []func(context.Context) error

	routes sync.Map // *core → *route
}

// route is where messages of one definition go when this module publishes them.
type route struct {
	def           Definition
	publish, read string
}

func (m *Module) host() *Module { return m }

// Name is the module's name.
func (m *Module) Name() string { return m.name }

// Emits declares the events that the module publishes. Publishing any other is refused.
func (m *Module) Emits(events ...Defined) {
	m.app.change("Emits", func() {
		for _, e := range events {
			c := e.core()
			m.app.learn(c)
			m.emits[c.def.identity()] = true
			m.emitted = append(m.emitted, c)
		}
	})
}

// Subscribe adds a subscription with its reactions, each to another event.
func (m *Module) Subscribe(s Subscription, reactions ...Reaction) {
	sub := &subscriber{Subscription: s, module: m, where: callerAt(0), group: m.app.cfg.Service + "." + s.Name}
	for _, r := range reactions {
		sub.reactions = append(sub.reactions, r.reaction())
	}
	m.app.change("Subscribe", func() {
		for _, r := range sub.reactions {
			m.app.learn(r.event)
		}
		m.subs = append(m.subs, sub)
	})
}

// Listen adds an ephemeral listener with its reactions.
func (m *Module) Listen(l Listener, reactions ...LiveReaction) {
	listener := &listening{Listener: l, module: m, where: callerAt(0)}
	for _, r := range reactions {
		listener.reactions = append(listener.reactions, r.reaction())
	}
	m.app.change("Listen", func() {
		for _, r := range listener.reactions {
			m.app.learn(r.event)
		}
		m.listeners = append(m.listeners, listener)
	})
}

// Discover registers a function that Run calls once all modules have said what they emit, and before anything starts: it may look events
// up in the catalog and subscribe to them without importing their package. See [Entry.Event].
func (m *Module) Discover(fn func(*Catalog) error) {
	m.app.change("Discover", func() { m.discover = append(m.discover, fn) })
}

// OnStart registers a function that Run calls when all subscriptions read and all modules that this one depends on have started. It
// should return soon; what runs longer is started by it and ended by OnStop. Its context lives until the app stops.
func (m *Module) OnStart(fn func(ctx context.Context) error) {
	m.app.change("OnStart", func() { m.onStart = append(m.onStart, fn) })
}

// OnStop registers a function that Run calls when it ends: after the subscriptions have drained, in the reverse order of start. Its
// context ends after Config.Stop.
func (m *Module) OnStop(fn func(ctx context.Context) error) {
	m.app.change("OnStop", func() { m.onStop = append(m.onStop, fn) })
}

// Direct publishes to the broker and waits for it.
func (m *Module) Direct() *Direct { return &Direct{m} }

// Live publishes to whoever listens now.
func (m *Module) Live() *Live { return &Live{m} }

// Outbox publishes in a transaction: the one that a reaction or InTx got, or one that the caller runs, joined by its store
// (sqlite.Join, postgres.Join).
func (m *Module) Outbox(tx store.Native) *Outbox { return &Outbox{m, tx} }

// Forward publishes a message that was received, unchanged, to another topic: same id, type, source and key. It is no new event, so the module
// need not emit it. Topics that do not exist are made.
func (m *Module) Forward(ctx context.Context, topic string, messages ...Message) error {
	if err := m.app.ensureTopic(ctx, topic); err != nil {
		return err
	}
	records := make([]broker.Record, len(messages))
	for i := range messages {
		r, err := encodeMessage(&messages[i], topic)
		if err != nil {
			return err
		}
		records[i] = r
	}
	_, err := m.app.send(ctx, records)
	return err
}

// way is one of the ways to publish.
type way int

const (
	direct way = iota
	live
	inOutbox
)

// records checks messages that this module wants to publish and encodes them. It either returns all or an error, before anything is sent.
func (m *Module) records(ctx context.Context, messages []Message, how way) ([]broker.Record, error) {
	records := make([]broker.Record, len(messages))
	for i := range messages {
		msg := messages[i]
		if msg.err != nil {
			return nil, msg.err
		}
		if !msg.NotBefore.IsZero() && how != inOutbox {
			return nil, fmt.Errorf("tidings: publish %s: NotBefore schedules a message, which only Outbox can", msg.Type)
		}
		to, err := m.route(&msg)
		if err != nil {
			return nil, err
		}
		msg.Source = cmp.Or(msg.Source, m.app.source)
		msg.inherit(ctx)
		topic := to.publish
		if how == live { // nobody forwards live messages
			topic = to.read
		}
		if err = checkHeaders(&msg); err != nil {
			return nil, err
		}
		if records[i], err = encodeMessage(&msg, topic); err != nil {
			return nil, err
		}
		if size, limit := records[i].Size(), m.app.cfg.MaxMessageBytes; size > limit {
			return nil, fmt.Errorf("tidings: publish %s (id %s): %w: %d bytes, and Config.MaxMessageBytes is %d", msg.Type, msg.ID, broker.ErrTooLarge, size, limit)
		}
	}
	return records, nil
}

// route finds where a message goes, and refuses what the module did not declare.
func (m *Module) route(msg *Message) (*route, error) {
	if msg.event == nil {
		return nil, fmt.Errorf("tidings: publish a message of type %q: make it with Event.New, so that its definition is known", msg.Type)
	}
	if r, ok := m.routes.Load(msg.event); ok {
		return r.(*route), nil //nolint:errcheck // only *route is stored
	}
	if err := msg.event.err(); err != nil {
		return nil, err
	}
	m.app.mu.Lock()
	declared := m.emits[msg.event.def.identity()]
	m.app.mu.Unlock()
	if !declared {
		return nil, fmt.Errorf("tidings: publish %s: module %s did not declare it: add it to Emits", msg.Type, m.name)
	}
	r := &route{def: m.app.definition(msg.event)}
	var err error
	if r.publish, err = m.app.cfg.Topology.PublishTopic(m.app.cfg.Service, r.def); err != nil {
		return nil, fmt.Errorf("tidings: publish %s: %w", msg.Type, err)
	}
	if r.read, err = m.app.cfg.Topology.SubscribeTopic(m.app.cfg.Service, r.def); err != nil {
		return nil, fmt.Errorf("tidings: publish %s: %w", msg.Type, err)
	}
	m.routes.Store(msg.event, r)
	return r, nil
}
