package platform

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings/broker"
)

// Sabotage is one thing that a broker gets wrong, once. A report that does not show it would be worth nothing: so this is how the report is tested.
type Sabotage string

// What can go wrong.
const (
	// Lose acknowledges a message and does not store it.
	Lose Sabotage = "lose"
	// Dup stores a message twice, the second time under another id, so that no inbox recognises it.
	Dup Sabotage = "dup"
	// Order swaps two messages of one key: so at least one show needs two bookings.
	Order Sabotage = "order"
	// Leak publishes an internal event among the public ones.
	Leak Sabotage = "leak"
)

// ParseSabotage reads a name.
func ParseSabotage(name string) (Sabotage, error) {
	s := Sabotage(name)
	if !slices.Contains([]Sabotage{Lose, Dup, Order, Leak}, s) {
		return "", fmt.Errorf("tickets: sabotage %q: want %s, %s, %s or %s", name, Lose, Dup, Order, Leak)
	}
	return s, nil
}

// Broker is b with the sabotage built in.
func (s Sabotage) Broker(b broker.Broker) broker.Broker {
	return &saboteur{Broker: b, sabotage: s, held: map[string]broker.Record{}}
}

// saboteur looks for its victim among what is published: a TicketPrinted, or for Leak an internal event. The first will do; it acts once.
type saboteur struct {
	broker.Broker
	sabotage Sabotage

	mu   sync.Mutex
	done bool
	held map[string]broker.Record // by key
	// public is the topic of all public events, once one was seen.
	public string
}

// Publish implements [broker.Broker].
func (s *saboteur) Publish(ctx context.Context, records []broker.Record, done func(i int, r broker.Receipt, err error)) {
	s.mu.Lock()
	defer s.mu.Unlock() // also while publishing: others must not overtake what was changed
	if s.done {
		s.Broker.Publish(ctx, records, done)
		return
	}
	var p plan
	for i := range records {
		s.plan(&p, i, records[i])
	}
	s.Broker.Publish(ctx, p.records, func(i int, r broker.Receipt, err error) {
		if p.origin[i] >= 0 {
			done(p.origin[i], r, err)
		}
	})
	for _, i := range p.dropped {
		done(i, broker.Receipt{Topic: records[i].Topic}, nil)
	}
}

// plan is what is published in place of what was asked for.
type plan struct {
	records []broker.Record
	origin  []int // the index in what was asked for, or -1
	dropped []int
}

func (p *plan) add(origin int, r broker.Record) {
	p.records, p.origin = append(p.records, r), append(p.origin, origin)
}

// plan adds record i to p, or does to it what the saboteur is for.
func (s *saboteur) plan(p *plan, i int, r broker.Record) {
	if s.done || !s.isVictim(&r) {
		p.add(i, r)
		return
	}
	switch s.sabotage {
	case Lose:
		p.dropped = append(p.dropped, i)
		s.done = true
	case Dup:
		p.add(i, r)
		p.add(-1, renamed(r))
		s.done = true
	case Leak:
		p.add(i, r)
		r.Topic, r.ID = s.public, ""
		p.add(-1, r)
		s.done = true
	case Order:
		s.reorder(p, i, r)
	}
}

// reorder holds back the first message of each key until there is a second of any: then that one goes first, and those of other keys, which
// nothing has overtaken, go after.
func (s *saboteur) reorder(p *plan, i int, r broker.Record) {
	first, ok := s.held[r.Key]
	if !ok {
		s.held[r.Key] = r
		p.dropped = append(p.dropped, i) // acknowledged already, so that more come
		return
	}
	p.add(i, r)
	p.add(-1, first)
	delete(s.held, r.Key)
	for _, other := range s.held {
		p.add(-1, other)
	}
	s.done = true
}

func (s *saboteur) isVictim(r *broker.Record) bool {
	typ, _ := r.Header("ce-type")
	isPublic := r.Topic == "events" || strings.HasSuffix(r.Topic, ".events")
	if isPublic {
		s.public = r.Topic
	}
	if s.sabotage == Leak {
		return s.public != "" && typ == ReadModelUpdated.Definition().Type()
	}
	return isPublic && typ == Printed.Definition().Type()
}

// renamed is the same message under another id.
func renamed(r broker.Record) broker.Record {
	r.ID = uuid.NewString()
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		if r.Headers[i].Name == "ce-id" {
			r.Headers[i].Value = r.ID
		}
	}
	return r
}

var _ broker.Broker = (*saboteur)(nil)
