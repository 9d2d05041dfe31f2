package tidings

import (
	"context"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// Header is one name and value: a CloudEvents extension, or a header that is not part of the event.
type Header = broker.Header

// Message is one occurrence of an event: CloudEvents attributes and the payload. Make one with [Event.New]; get the one being handled with
// [MessageFrom].
type Message struct {
	// ID is unique per source. Event.New makes UUIDv7.
	ID string
	// Type is the event's CloudEvents type, such as "tickets.BookingMade.v1".
	Type string
	// Source is who published: "/{service}". Publishing fills it in when it is empty.
	Source string
	// Subject is what the message is about, usually the entity's id.
	Subject string
	// Key is what messages are ordered by (CloudEvents partitionkey). Empty: no order.
	Key string
	// Time is when it happened.
	Time time.Time
	// CorrelationID is shared by everything that one message has led to; CausationID is the id of the message that led to this one.
	// Publishing fills them in: from the message being handled, or the correlation is the message's own id.
	CorrelationID, CausationID string
	// TraceParent and TraceState are the W3C trace context in which the message was published.
	TraceParent, TraceState string
	// ContentType is the payload's media type.
	ContentType string
	// DataSchema is an absolute URI of the payload's schema.
	DataSchema string
	// Extensions are all other CloudEvents attributes. They are kept and forwarded.
	Extensions []Header
	// Headers are carried beside the event and are not part of it.
	Headers []Header
	// Data is the payload as on the wire.
	Data []byte
	// NotBefore schedules the message: the outbox keeps it until then. Other publishers refuse it. Zero: now.
	NotBefore time.Time

	event *core
	// err is what went wrong when the message was made; whoever publishes it returns it.
	err error
}

// Place is where on the broker a message came from.
type Place struct {
	Topic     string
	Partition int
	Sequence  uint64
}

// MessageFrom is the message being handled, in the context of a reaction that takes one message.
func MessageFrom(ctx context.Context) (Message, bool) {
	h, ok := ctx.Value(handlingKey{}).(*handling)
	if !ok {
		return Message{}, false
	}
	return h.message, true
}

// PlaceFrom is where the message being handled came from.
func PlaceFrom(ctx context.Context) (Place, bool) {
	h, ok := ctx.Value(handlingKey{}).(*handling)
	if !ok {
		return Place{}, false
	}
	return h.place, true
}

// IdempotencyKey is a name for the effect of this reaction on the message being handled: the same in every attempt and every replica, and
// different from any other's. Give it to systems that take one (payments, mail), since only writes in the reaction's own
// transaction are rolled back with it.
func IdempotencyKey(ctx context.Context) string {
	h, ok := ctx.Value(handlingKey{}).(*handling)
	if !ok {
		return ""
	}
	if h.key != "" {
		return h.group + ":" + h.key
	}
	return h.group + ":" + h.message.Source + ":" + h.message.ID
}

// handling is what a reaction's context knows.
type handling struct {
	message Message
	place   Place
	group   string
	key     string // of the call, where the message is a request
}

type handlingKey struct{}

// context is ctx with h in it.
func (h *handling) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, handlingKey{}, h)
}

// inherit fills in what a message takes over from the one being handled.
func (m *Message) inherit(ctx context.Context) {
	if h, ok := ctx.Value(handlingKey{}).(*handling); ok {
		if m.CorrelationID == "" {
			m.CorrelationID = h.message.CorrelationID
			if m.CorrelationID == "" {
				m.CorrelationID = h.message.ID
			}
		}
		if m.CausationID == "" {
			m.CausationID = h.message.ID
		}
		if m.TraceParent == "" {
			m.TraceParent, m.TraceState = h.message.TraceParent, h.message.TraceState
		}
	}
	if m.CorrelationID == "" {
		m.CorrelationID = m.ID
	}
}
