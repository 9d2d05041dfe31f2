package tidings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/tidings-go/tidings/internal/consume"
	"github.com/tidings-go/tidings/store"
)

// Reaction is a typed handler of one event in a subscription: made by [On], [OnTx], [OnBatch] and [OnBatchTx].
type Reaction interface{ reaction() *reaction }

// LiveReaction is a reaction that a listener can have too: made by [On].
type LiveReaction interface {
	Reaction
	live()
}

type reaction struct {
	event *core
	verb  string
	where string
	// fault is what is wrong with the call that made the reaction.
	fault string
	// native is the type of transaction that the handler asks for; nil for none.
	native reflect.Type
	// bind makes the engine's reaction for one subscription.
	bind func(s *subscriber) *consume.Reaction
	// handle is for listeners, and for subscriptions that take one message at a time without a transaction.
	handle func(ctx context.Context, m *Message) error
}

func (r *reaction) reaction() *reaction { return r }
func (r *reaction) live()               {}

// newReaction keeps what is wrong with the call for Check.
func newReaction[T any](verb string, e *Event[T], missing bool) *reaction {
	r := &reaction{verb: verb, where: callerAt(1)}
	switch {
	case e == nil || e.c.codec == nil:
		r.fault = "the event is nil or empty: make it with Define or Named"
		r.event = &core{codec: JSON{}, raw: true, def: Definition{Name: "nil", Where: r.where}}
	case missing:
		r.fault = "the function is nil, or a limit of the batch is negative"
		r.event = &e.c
	default:
		r.event = &e.c
	}
	return r
}

// On reacts to each message of an event. What the function returns is the acknowledgement: nil is done; [Discard], [RetryAfter] and
// [DeadLetter] say otherwise; any other error, and a panic, is tried again as the subscription's policy says.
//
// The function may be called more than once for a message, and after a failover even for an older message after newer ones. Where that
// matters, use [OnTx].
func On[T any](e *Event[T], fn func(ctx context.Context, payload T) error) LiveReaction {
	r := newReaction("On", e, fn == nil)
	r.handle = func(ctx context.Context, m *Message) error {
		payload, err := e.read(m)
		if err != nil {
			return err
		}
		return fn(ctx, payload)
	}
	r.bind = func(s *subscriber) *consume.Reaction { return s.single(r.handle) }
	return r
}

// OnTx reacts to each message of an event inside a transaction of the app's store, exactly once in effect: what the function writes
// through tx, what it publishes through Outbox(tx), and the note that the message was handled are committed together or not at all.
// X is the store's native transaction: *sqlite.Tx, *postgres.Tx, or *store.SQLTx.
func OnTx[X store.Native, T any](e *Event[T], fn func(ctx context.Context, tx X, payload T) error) Reaction {
	r := newReaction("OnTx", e, fn == nil)
	r.native = reflect.TypeFor[X]()
	r.bind = func(s *subscriber) *consume.Reaction {
		return s.single(func(ctx context.Context, m *Message) error {
			payload, err := e.read(m)
			if err != nil {
				return err
			}
			return s.inTx(ctx, func(ctx context.Context, native store.Native) error {
				first, err := s.claim(ctx, native, m)
				if err != nil || !first {
					return err
				}
				return fn(ctx, native.(X), payload) //nolint:errcheck // Check has compared X with the store's transactions
			})
		})
	}
	return r
}

// Batch says how messages are gathered.
type Batch struct {
	// Size is how many messages at most. Default 100.
	Size int
	// Wait is how long the first message waits for company. Default 100 ms.
	Wait time.Duration
}

// Delivery is one message of a batch. Answer it with Ack, Nak or Term; what is left unanswered follows the error that the batch's function returns.
type Delivery[T any] struct {
	Payload T
	Message Message

	handling *handling
	item     *consume.Item
	// together says that the transaction answers for all.
	together bool
}

// Context is ctx for the handling of this one message: [MessageFrom], [PlaceFrom] and [IdempotencyKey] know it, and what is published
// in it has the message as its cause.
func (d *Delivery[T]) Context(ctx context.Context) context.Context {
	if d.handling == nil {
		return ctx
	}
	return d.handling.context(ctx)
}

// answers reports whether the message can be answered by itself: not in OnBatchTx, and not in a test that made the delivery.
func (d *Delivery[T]) answers() bool { return d.item != nil && !d.together }

// Ack says that the message is done.
func (d *Delivery[T]) Ack() {
	if d.answers() {
		d.item.Ack()
	}
}

// Nak says that the message is to be handled again after a while. Later messages of its key that are not in this batch wait for it.
func (d *Delivery[T]) Nak(after time.Duration) {
	if d.answers() {
		d.item.Nak(after)
	}
}

// Term sends the message to the dead letters, with err as the reason.
func (d *Delivery[T]) Term(err error) {
	if d.answers() {
		d.item.Term(err)
	}
}

// InProgress says that work on the batch goes on: the subscription's Timeout starts anew.
func (d *Delivery[T]) InProgress() {
	if d.item != nil {
		d.item.InProgress()
	}
}

// OnBatch reacts to several messages of an event at once. Several messages of one key may be in a batch, in order. One bad message never
// blocks its batch: answer each on its own. A payload that can't be decoded goes to the dead letters and is not in the batch.
func OnBatch[T any](e *Event[T], b Batch, fn func(ctx context.Context, batch []*Delivery[T]) error) Reaction {
	r := newReaction("OnBatch", e, fn == nil || b.Size < 0 || b.Wait < 0)
	r.bind = func(s *subscriber) *consume.Reaction {
		return s.batch(b, func(ctx context.Context, items []*consume.Item) error {
			batch := deliveries(s, e, items)
			if len(batch) == 0 {
				return nil
			}
			return fn(ctx, batch)
		})
	}
	return r
}

// OnBatchTx is OnBatch inside one transaction of the app's store, exactly once in effect: see [OnTx]. Messages that were handled before
// are not in the batch. When the function returns an error, everything is rolled back, and each message is tried again alone, so
// that one bad message does not hold up the others. Ack, Nak and Term of single messages do nothing: the transaction answers for all.
func OnBatchTx[X store.Native, T any](e *Event[T], b Batch, fn func(ctx context.Context, tx X, batch []*Delivery[T]) error) Reaction {
	r := newReaction("OnBatchTx", e, fn == nil || b.Size < 0 || b.Wait < 0)
	r.native = reflect.TypeFor[X]()
	r.bind = func(s *subscriber) *consume.Reaction {
		together := func(ctx context.Context, batch []*Delivery[T]) (err error) {
			defer recovered(&err) // so that one message's panic is not every message's
			return s.inTx(ctx, func(ctx context.Context, native store.Native) error {
				fresh, err := unclaimed(ctx, s, native, batch)
				if err != nil || len(fresh) == 0 {
					return err
				}
				return fn(ctx, native.(X), fresh) //nolint:errcheck // Check has compared X with the store's transactions
			})
		}
		return s.batch(b, func(ctx context.Context, items []*consume.Item) error {
			batch := deliveries(s, e, items)
			for _, d := range batch {
				d.together = true
			}
			return eachAlone(ctx, s, batch, together)
		})
	}
	return r
}

// eachAlone handles a batch together, and one by one when that fails. After the first failure of a key its later messages wait.
func eachAlone[T any](ctx context.Context, s *subscriber, batch []*Delivery[T], handle func(context.Context, []*Delivery[T]) error) error {
	if len(batch) == 0 {
		return nil
	}
	err := handle(ctx, batch)
	if err == nil || len(batch) == 1 || ctx.Err() != nil {
		return err
	}
	s.module.app.log.LogAttrs(ctx, slog.LevelWarn, "a batch failed, its messages are tried one by one",
		slog.String("subscription", s.group), slog.Int("messages", len(batch)), slog.Any("error", err))
	failed := map[string]error{}
	for i, d := range batch {
		key := d.Message.Key
		if before := failed[key]; before != nil && key != "" {
			d.item.Later()
			continue
		}
		if err := handle(ctx, batch[i:i+1]); err != nil {
			failed[key] = err
			d.item.Fail(err)
			continue
		}
		d.item.Ack()
	}
	return nil
}

// deliveries decodes a batch. What can't be decoded is answered here.
func deliveries[T any](s *subscriber, e *Event[T], items []*consume.Item) []*Delivery[T] {
	batch := make([]*Delivery[T], 0, len(items))
	for _, item := range items {
		m, err := s.module.app.decode(item.Delivery)
		if err != nil {
			item.Term(err)
			continue
		}
		payload, err := e.read(&m)
		if err != nil {
			item.Fail(err)
			continue
		}
		batch = append(batch, &Delivery[T]{Payload: payload, Message: m, handling: s.handling(item.Delivery, m), item: item})
	}
	return batch
}

// unclaimed claims every message of a batch and returns those that were not handled before.
func unclaimed[T any](ctx context.Context, s *subscriber, native store.Native, batch []*Delivery[T]) ([]*Delivery[T], error) {
	fresh := make([]*Delivery[T], 0, len(batch))
	for _, d := range batch {
		first, err := s.claim(ctx, native, &d.Message)
		if err != nil {
			return nil, err
		}
		if first {
			fresh = append(fresh, d)
		}
	}
	return fresh, nil
}

// read is the payload of a message that the subscription has routed to e. An error is for the dead letters.
func (e *Event[T]) read(m *Message) (payload T, err error) {
	defer func() {
		if p := recover(); p != nil { // a payload's own UnmarshalJSON
			err = DeadLetter(fmt.Errorf("tidings: decode message %s of type %s: panic: %v", m.ID, m.Type, p))
		}
	}()
	if e.c.evolvedFrom(m.Type) {
		return e.lifted(m)
	}
	if err = e.c.checkContentType(m.ContentType); err != nil {
		return payload, DeadLetter(fmt.Errorf("tidings: message %s of type %s: %w", m.ID, m.Type, err))
	}
	if payload, err = e.Decode(m.Data); err != nil {
		return payload, DeadLetter(fmt.Errorf("message %s: %w", m.ID, err))
	}
	return payload, nil
}

// recovered turns a panic into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// errNoStore is for reactions with transactions in an app without a store; Check reports it first.
var errNoStore = errors.New("tidings: there is no transaction, since the app has no store")
