package tidings

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"strings"
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
	served    []*endpoint
	calls     []calling
	discover  []func(*Catalog) error
	// discovered is how many of these have run; App.discovering guards it.
	discovered int
	onStart    []func(context.Context) error
	onStop     []func(context.Context) error
	faults     []string // what is wrong with calls of the module's methods

	routes sync.Map // *core → *route

	started chan struct{} // closed when OnStart has succeeded
}

// route is where messages of one definition go when this module publishes them.
type route struct {
	def           Definition
	publish, read string
}

// encode makes the record of a message, with its envelope unless the event has none.
func (r *route) encode(m *Message, topic string) (broker.Record, error) {
	if r.def.Plain {
		return encodePlain(m, topic), nil
	}
	return encodeMessage(m, topic)
}

func (m *Module) host() *Module { return m }

// Name is the module's name.
func (m *Module) Name() string { return m.name }

// Emits declares the events that the module publishes. Publishing any other is refused.
func (m *Module) Emits(events ...Defined) {
	m.app.change("Emits", func() {
		for _, e := range events {
			if isNil(e) {
				m.fault("Emits was given a nil event")
				continue
			}
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
		if isNil(r) {
			sub.reactions = append(sub.reactions, newReaction[Raw]("Subscribe", nil, false))
			continue
		}
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
		if isNil(r) {
			listener.reactions = append(listener.reactions, newReaction[Raw]("Listen", nil, false))
			continue
		}
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
	m.app.change("Discover", func() { register(m, "Discover", &m.discover, fn) })
}

// OnStart registers a function that Run calls when all subscriptions read and all modules that this one depends on have started. It
// should return soon; what runs longer is started by it and ended by OnStop. Its context lives until the app has stopped; it ends early when
// Run's context ends before everything has started.
func (m *Module) OnStart(fn func(ctx context.Context) error) {
	m.app.change("OnStart", func() { register(m, "OnStart", &m.onStart, fn) })
}

// OnStop registers a function that Run calls when it ends: after the subscriptions have drained, in the reverse order of start. Its
// context ends after Config.Stop. It is called for a module whose start failed half-way too.
func (m *Module) OnStop(fn func(ctx context.Context) error) {
	m.app.change("OnStop", func() { register(m, "OnStop", &m.onStop, fn) })
}

// fault keeps a mistake for Check. The app's mutex is held.
func (m *Module) fault(text string) { m.faults = append(m.faults, text) }

func register[F any](m *Module, what string, list *[]F, fn F) {
	if isNil(fn) {
		m.fault(what + " was given a nil function")
		return
	}
	*list = append(*list, fn)
}

// isNil reports whether v is nothing, or a nil pointer or function.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
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
		if err = cmp.Or(messages[i].err, err); err != nil {
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
		var err error
		if records[i], err = m.record(ctx, messages[i], how); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// record checks and encodes one message.
func (m *Module) record(ctx context.Context, msg Message, how way) (broker.Record, error) {
	if msg.err != nil {
		return broker.Record{}, msg.err
	}
	if !msg.NotBefore.IsZero() && how != inOutbox {
		return broker.Record{}, fmt.Errorf("tidings: publish %s: NotBefore schedules a message, which only Outbox can", msg.Type)
	}
	to, err := m.route(&msg)
	if err != nil {
		return broker.Record{}, err
	}
	if msg.event.named {
		msg.Type = to.def.Type()
	}
	if msg.Key == "" && len(to.def.Key) > 0 {
		return broker.Record{}, fmt.Errorf("tidings: publish %s (id %s): it has no key, and is ordered by %s: set Message.Key", msg.Type, msg.ID, strings.Join(to.def.Key, " and "))
	}
	msg.Source = cmp.Or(msg.Source, m.app.source)
	msg.inherit(ctx)
	if err = checkHeaders(&msg); err != nil {
		return broker.Record{}, err
	}
	topic := to.publish
	if how == live { // nobody forwards live messages
		topic = to.read
	}
	r, err := to.encode(&msg, topic)
	if err != nil {
		return broker.Record{}, err
	}
	if size, limit := r.Size(), m.app.cfg.MaxMessageBytes; size > limit {
		return broker.Record{}, fmt.Errorf("tidings: publish %s (id %s): %w: %d bytes, and Config.MaxMessageBytes is %d", msg.Type, msg.ID, broker.ErrTooLarge, size, limit)
	}
	return r, nil
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
	if r.publish, err = m.app.publishTopic(r.def); err != nil {
		return nil, fmt.Errorf("tidings: publish %s: %w", msg.Type, err)
	}
	if r.read, err = m.app.readTopic(r.def); err != nil {
		return nil, fmt.Errorf("tidings: publish %s: %w", msg.Type, err)
	}
	m.routes.Store(msg.event, r)
	return r, nil
}
