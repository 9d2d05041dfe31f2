package tidings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
	"github.com/tidings-go/tidings/internal/consume"
	"github.com/tidings-go/tidings/internal/hold"
	"github.com/tidings-go/tidings/store"
)

// Start is where a new subscription begins to read.
type Start = broker.Start

// Subscription is a named, durable reader of one or more events: the unit of ordering, retry, dead letters, pause and lag. All replicas
// of a service share it, and each of its messages goes to one of them. Other subscriptions get every message too.
type Subscription struct {
	// Name is unique in the service, and stays: {service}.{name} is the group under which the broker keeps the position.
	Name string
	// Concurrency is how many messages, each of another key, are handled at once in this process. Default 16.
	Concurrency int
	// Timeout cancels the context of a handler that takes longer. Default none.
	Timeout time.Duration
	Retry   Retry
	// OnFailure says what happens after the last attempt. Default Park.
	OnFailure FailureMode
	// Breaker stops all handling while nothing but failures comes of it. Default never.
	Breaker Breaker
	// Unordered gives up order per key: every message is on its own.
	Unordered bool
	// Topics are read in place of the topics of the reactions' events. [Any] needs it.
	Topics []string
	// From is where the subscription begins when it is new. The zero value is the earliest message that the broker has.
	From Start
	// MaxMessages and MaxBytes bound what is in memory, fetched and not finished. Defaults 4,096 and 32 MiB.
	MaxMessages, MaxBytes int
}

// Listener is an ephemeral reader: it gets what is published from now on, live or durably, each message at most once and without retry.
type Listener struct {
	// Queue shares the messages: one of the listeners of a queue, over all replicas, gets each. A service has one listener of a queue; give
	// it all reactions. Empty: every listener gets every message.
	Queue string
}

// subscriber is a subscription with its reactions, in one app.
type subscriber struct {
	Subscription
	module    *Module
	reactions []*reaction
	where     string

	group    string
	topics   []string
	consumer *consume.Consumer
	keys     *hold.Keys // nil: no key is ever held
	byType   map[string]*consume.Reaction
	families []string
	// twins says that a message may have a twin that is to be handled in its place.
	twins   bool
	any     *consume.Reaction
	every   bool // any takes older twins too
	unknown *consume.Reaction
}

// prepare makes the engine's side of the subscription. Check has passed.
func (s *subscriber) prepare() {
	a := s.module.app
	s.byType = map[string]*consume.Reaction{}
	bound := map[*reaction]*consume.Reaction{}
	for _, r := range s.reactions {
		b := r.bind(s)
		b.Timeout = s.Timeout
		bound[r] = b
		if r.event.any {
			b.Name, s.any, s.every = "any", b, r.event.every
			continue
		}
		def := a.definition(r.event)
		b.Name = def.Type()
		if f := def.family(); f != "" {
			s.families = append(s.families, f)
		}
	}
	versions := a.versionsOf(s.reactions)
	for typ, r := range versions.byType {
		s.byType[typ] = bound[r]
	}
	s.twins = s.any != nil && !s.every || versions.several()
	s.unknown = s.single(func(_ context.Context, m *Message) error {
		return DeadLetter(fmt.Errorf("tidings: no reaction to this version of the event: type %s", m.Type))
	})
	s.unknown.Name = "unknown version"
	s.consumer = consume.New(consume.Config{
		Group:       s.group,
		Concurrency: s.Concurrency,
		MaxMessages: s.MaxMessages,
		MaxBytes:    s.MaxBytes,
		Retry:       consume.Retry(s.Retry),
		OnFailure:   s.afterLast(),
		Breaker:     consume.Breaker(s.Breaker),
		Unordered:   s.Unordered,
		Stop:        a.cfg.Stop,
		Log:         a.log.With(slog.String("subscription", s.group)),
		Route:       s.route,
		DeadLetter:  s.deadLetter,
	})
	if s.OnFailure == HoldKey {
		s.keys = hold.New(hold.Config{Group: s.group, Store: a.cfg.Store, Row: s.row, Log: a.log.With(slog.String("subscription", s.group))})
	}
}

// run consumes until ctx ends and everything is drained.
func (s *subscriber) run(ctx context.Context) error {
	reader := broker.Reader{Group: s.group, Topics: s.topics, From: s.From}
	err := s.consume(ctx, (*hold.Keys).Arriving, func(ctx context.Context, each func(context.Context, broker.Partition)) error {
		return s.module.app.cfg.Broker.Consume(ctx, reader, each)
	})
	if err != nil {
		return fmt.Errorf("tidings: subscription %s: %w", s.group, err)
	}
	return nil
}

// retry consumes the dead letters that were sent back to this subscription: rows of the store's queue that has its group's name. They come
// to this subscription alone, and through its inbox.
func (s *subscriber) retry(ctx context.Context) error {
	err := s.consume(ctx, (*hold.Keys).Retried, func(ctx context.Context, each func(context.Context, broker.Partition)) error {
		return s.module.app.cfg.Store.Lanes(ctx, s.group, each)
	})
	if err != nil {
		return fmt.Errorf("tidings: subscription %s: dead letters to retry: %w", s.group, err)
	}
	return nil
}

// release consumes the messages that were held, in order, where what they waited for is resolved.
func (s *subscriber) release(ctx context.Context) error {
	if err := s.consume(ctx, (*hold.Keys).Released, s.keys.Lanes); err != nil {
		return fmt.Errorf("tidings: subscription %s: held messages: %w", s.group, err)
	}
	return nil
}

// consume runs the engine over one source, with that holder of the subscription's keys if it holds any.
func (s *subscriber) consume(ctx context.Context, holder func(*hold.Keys) consume.Holder, source consume.Source) error {
	if s.keys == nil {
		return s.consumer.Run(ctx, source)
	}
	return s.consumer.RunHolding(ctx, holder(s.keys), source)
}

// route finds the reaction to a delivery: by its type alone, without decoding it. Types that no reaction names are skipped, an unknown
// version of a subscribed event is not.
func (s *subscriber) route(d *broker.Delivery) *consume.Reaction {
	typ, ok := cloudevents.PeekType(d.Headers, d.Value)
	if !ok {
		def, plain := s.module.app.plainOf(d)
		if !plain {
			return s.unknown // decoding it says what is wrong
		}
		typ = def.Type()
	}
	r := s.byType[typ]
	if r == nil && s.every {
		return s.any
	}
	if s.twins && s.yields(typ, d) {
		return nil
	}
	if r != nil {
		return r
	}
	if s.any != nil {
		return s.any
	}
	for _, f := range s.families {
		if strings.HasPrefix(typ, f) && !s.module.app.knows(typ) && !s.yields(typ, d) {
			return s.unknown
		}
	}
	return nil
}

// yields reports whether a twin of the delivery is to be handled in its place. One that comes from the store was chosen before, and the others were skipped.
func (s *subscriber) yields(typ string, d *broker.Delivery) bool {
	_, kept := d.Header(keptHeader)
	return !kept && younger(typ, twinsOf(d.Headers, d.Value), s.handles)
}

// handles reports whether the subscription has a reaction to a type that stands for its older twins.
func (s *subscriber) handles(typ string) bool {
	return s.any != nil && !s.every || s.byType[typ] != nil
}

// single is the engine's reaction to one message.
func (s *subscriber) single(handle func(ctx context.Context, m *Message) error) *consume.Reaction {
	return &consume.Reaction{Handle: func(ctx context.Context, d *broker.Delivery) error {
		m, err := s.module.app.decode(d)
		if err != nil {
			return err
		}
		h := s.handling(d, m)
		return handle(h.context(ctx), &h.message)
	}}
}

func (s *subscriber) handling(d *broker.Delivery, m Message) *handling {
	return &handling{message: m, place: Place{Topic: d.Topic, Partition: d.Partition, Sequence: d.Sequence}, group: s.group}
}

func (s *subscriber) batch(b Batch, handle func(ctx context.Context, items []*consume.Item) error) *consume.Reaction {
	return &consume.Reaction{Batch: &consume.Batch{Size: cmp.Or(b.Size, 100), Wait: cmp.Or(b.Wait, 100*time.Millisecond), Handle: handle}}
}

func (s *subscriber) inTx(ctx context.Context, fn func(ctx context.Context, tx store.Native) error) error {
	return s.module.app.inTx(ctx, s.group, fn)
}

// claim notes in the transaction that this subscription handles m, and reports whether it does so for the first time.
func (s *subscriber) claim(ctx context.Context, native store.Native, m *Message) (bool, error) {
	tx := native.StoreTx()
	if tx == nil {
		return false, errors.New("tidings: the store began no transaction")
	}
	id := m.ID
	if s.every {
		id = m.rowID()
	}
	first, _, err := tx.Claim(ctx, s.group, m.Source+" "+id)
	if err != nil {
		return false, Unavailable(fmt.Errorf("tidings: inbox of %s: %w", s.group, err))
	}
	return first, nil
}

// listening is a listener with its reactions, in one app.
type listening struct {
	Listener
	module    *Module
	reactions []*reaction
	where     string

	topics []string
	byType map[string]*reaction
	// twins says that a message may have a twin that is to be handled in its place.
	twins bool
}

// run listens until ctx ends. Listeners handle one message at a time; the handler that runs then may finish, until hard ends.
func (l *listening) run(ctx, hard context.Context, ready func()) error {
	a := l.module.app
	group := ""
	if l.Queue != "" {
		group = a.cfg.Service + "." + l.Queue
	}
	err := a.cfg.Broker.Listen(ctx, broker.Listener{Topics: l.topics, Group: group, Ready: ready}, func(r broker.Record) {
		if err := l.handle(hard, &r); err != nil {
			a.log.LogAttrs(ctx, slog.LevelWarn, "listener failed", slog.String("where", l.where), slog.String("topic", r.Topic), slog.Any("error", err))
		}
	})
	if err != nil {
		return fmt.Errorf("tidings: listener (%s): %w", l.where, err)
	}
	return nil
}

func (l *listening) handle(ctx context.Context, r *broker.Record) (err error) {
	typ, ok := cloudevents.PeekType(r.Headers, r.Value)
	if !ok {
		def, plain := l.module.app.plainOf(&broker.Delivery{Record: *r})
		if !plain {
			return nil
		}
		typ = def.Type()
	}
	reaction := l.byType[typ]
	if reaction == nil || l.twins && younger(typ, twinsOf(r.Headers, r.Value), func(typ string) bool { return l.byType[typ] != nil }) {
		return nil
	}
	m, err := l.module.app.decode(&broker.Delivery{Record: *r})
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	h := &handling{message: m, place: Place{Topic: r.Topic}, group: l.module.app.cfg.Service}
	return reaction.handle(h.context(ctx), &h.message)
}

// prepare finds the listener's topics. Check has passed.
func (l *listening) prepare() error {
	a := l.module.app
	topics := map[string]bool{}
	for _, r := range l.reactions {
		for _, version := range r.event.versions() {
			topic, err := a.readTopic(a.definition(version))
			if err != nil {
				return fmt.Errorf("tidings: listener (%s): %w", l.where, err)
			}
			topics[topic] = true
		}
	}
	versions := a.versionsOf(l.reactions)
	l.byType, l.twins = versions.byType, versions.several()
	l.topics = slices.Sorted(maps.Keys(topics))
	return nil
}
