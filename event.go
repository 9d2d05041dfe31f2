package tidings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Event is an event definition: one version of one event, and the Go type of its payload. It is made by [Define], as a package
// variable, and used to publish, subscribe and decode. It never changes, so it is safe for concurrent use.
type Event[T any] struct {
	c core
	// lifted reads a message of an older version; nil for events that did not evolve.
	lifted func(m *Message) (T, error)
}

// Defined is any *Event[T].
type Defined interface {
	Definition() Definition
	core() *core
}

// errUndefined is for events that were not made by Define or Named.
var errUndefined = errors.New("tidings: the event is nil or empty: make it with Define or Named")

// Raw is a payload that is not decoded.
type Raw = json.RawMessage

// Define makes an event definition. Identity is written down, never taken from the Go type, so types and packages can be renamed freely.
//
// The key, by which messages are ordered, comes from struct tags of T: `tidings:"key"` on one or more fields (composite in the order of
// the fields), or `tidings:"key,order=N"` on each. Nested and embedded structs are searched too. `tidings:"subject"` names the
// CloudEvents subject; without it the subject is the key. A key field is a string, an integer, a bool, or a type with MarshalText,
// such as uuid.UUID.
//
// Define does not panic: mistakes are kept with file and line, and reported together by [App.Check] and by Publish.
func Define[T any](domain, name, version string, options ...Option) *Event[T] {
	return define[T](core{
		def: Definition{
			Domain: domain, Name: name, Version: version, Entity: domain,
			TopicDomain: domain, TopicVersion: version, Where: callerAt(0),
		},
		codec: JSON{},
	}, options)
}

// define completes a definition: with its options, and with what its payload's type says.
func define[T any](c core, options []Option) *Event[T] {
	e := &Event[T]{c: c}
	for _, o := range options {
		if o == nil {
			e.c.mistake("an option is nil; leave it out")
			continue
		}
		o.apply(&e.c)
	}
	e.c.checkNames()
	e.c.typ = e.c.def.Type()
	t := reflect.TypeFor[T]()
	if t == reflect.TypeFor[Raw]() {
		e.c.raw = true
		return e
	}
	if e.c.codec == (JSON{}) {
		e.c.errs = append(e.c.errs, checkJSON(t)...)
	}
	plan, errs := planKey(t)
	e.c.key, e.c.def.Key = plan, plan.paths()
	e.c.errs = append(e.c.errs, errs...)
	return e
}

// Named is an event known only by its name, for programs that must not import the emitter. Its payload stays raw. Where the app also has
// the full definition (another module emits it, say), scope, topic and the rest come from there.
func Named(domain, name, version string) *Event[Raw] {
	e := &Event[Raw]{c: core{
		def: Definition{
			Domain: domain, Name: name, Version: version, Entity: domain,
			TopicDomain: domain, TopicVersion: version, Where: callerAt(0),
		},
		codec: JSON{},
		named: true,
		raw:   true,
	}}
	e.c.checkNames()
	e.c.typ = e.c.def.Type()
	return e
}

// Any stands for every event on the topics that a subscription names in Subscription.Topics. Use [MessageFrom] to see which one it is. Of a fact that is told in
// several versions ([Twins]) it gets the newest.
func Any() *Event[Raw] {
	return &Event[Raw]{c: core{def: Definition{Name: "any", Where: callerAt(0)}, codec: JSON{}, any: true, raw: true}}
}

// Every is [Any] for who keeps messages or passes them on, and so needs each one: also the older versions of a fact, for readers who know no newer one.
func Every() *Event[Raw] {
	return &Event[Raw]{c: core{def: Definition{Name: "any", Where: callerAt(0)}, codec: JSON{}, any: true, every: true, raw: true}}
}

// Definition describes the event.
func (e *Event[T]) Definition() Definition { return e.c.def }

// IsInternal reports whether the event belongs to one service only.
func (e *Event[T]) IsInternal() bool { return e.c.def.IsInternal() }

func (e *Event[T]) core() *core { return &e.c }

// New makes a message of the event: with a new id (UUIDv7) and the present time, payload encoded, key and subject taken from it. What
// goes wrong here is returned by whoever publishes the message.
func (e *Event[T]) New(payload T) Message {
	if e == nil || e.c.codec == nil {
		return Message{err: errUndefined}
	}
	m := Message{Type: e.c.typ, Time: time.Now(), ContentType: e.c.codec.ContentType(), event: &e.c}
	if err := e.c.err(); err != nil {
		m.err = err
		return m
	}
	if raw, ok := any(payload).(Raw); ok {
		if m.Data = raw; e.c.codec == (JSON{}) && !json.Valid(raw) {
			m.err = fmt.Errorf("tidings: encode %s: the raw payload is not JSON", m.Type)
			return m
		}
	} else if m.Data, m.err = e.c.codec.Encode(payload); m.err != nil {
		m.err = fmt.Errorf("tidings: encode %s: %w", m.Type, m.err)
		return m
	}
	id, err := uuid.NewV7()
	if err != nil {
		m.err = fmt.Errorf("tidings: make an id for %s: %w", m.Type, err)
		return m
	}
	m.ID = id.String()
	if e.c.key != nil {
		m.Key, m.Subject, m.err = e.c.key.of(reflect.ValueOf(&payload).Elem())
		if m.err != nil {
			m.err = fmt.Errorf("tidings: event %s: %w", m.Type, m.err)
		}
	}
	return m
}

// Publish makes a message of payload and hands it to a publisher: the module's Direct, Live or Outbox, or a test's own.
func (e *Event[T]) Publish(ctx context.Context, to Publisher, payload T) error {
	return to.Publish(ctx, e.New(payload))
}

// Decode decodes a payload.
func (e *Event[T]) Decode(data []byte) (T, error) {
	var payload T
	if raw, ok := any(&payload).(*Raw); ok {
		*raw = data
		return payload, nil
	}
	if err := e.c.codec.Decode(data, &payload); err != nil {
		return payload, fmt.Errorf("tidings: decode %s: %w", e.c.def.Type(), err)
	}
	return payload, nil
}

// Types are the types of the messages that In reads, newest first: the event's own, and those of the versions that it evolves from. Of [Any] and [Every], which read
// all types, it is nil.
func (e *Event[T]) Types() []string {
	if e.c.any {
		return nil
	}
	var types []string
	for _, version := range e.c.versions() {
		types = append(types, version.def.Type())
	}
	return types
}

// Reads reports whether a subscription that reacts to this event alone would handle m: a message of one of its Types, unless the same fact is told in a newer one of them
// ([Twins]). With In it makes reactions of messages that come from somewhere else, such as an archive.
func (e *Event[T]) Reads(m Message) bool {
	if e.c.every {
		return true
	}
	types := e.Types()
	reads := func(typ string) bool { return e.c.any || slices.Contains(types, typ) }
	return reads(m.Type) && !younger(m.Type, m.twins(), reads)
}

// In is the payload of m, which must be a message of this event, or of a version that it evolves from.
func (e *Event[T]) In(m Message) (T, error) {
	if e.c.evolvedFrom(m.Type) {
		return e.read(&m)
	}
	if !e.c.any && m.Type != e.c.def.Type() {
		var zero T
		return zero, fmt.Errorf("tidings: a message of type %s is not %s", m.Type, e.c.def.Type())
	}
	if err := e.c.checkContentType(m.ContentType); err != nil {
		var zero T
		return zero, fmt.Errorf("tidings: message %s of type %s: %w", m.ID, m.Type, err)
	}
	return e.Decode(m.Data)
}
