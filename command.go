package tidings

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/tidings-go/tidings/store"
)

// Events is what a command leads to. The handler returns them, and they are published for it. Messages that are empty are skipped, so that an event
// that did not happen can be left as it is:
//
//	var refunded tidings.Message
//	if paid {
//		refunded = Refunded.New(…)
//	}
//	return answer, tidings.Events{Cancelled.New(…), refunded}, nil
type Events []Message

// happened are the events without the empty ones.
func (e Events) happened() []Message {
	messages := make([]Message, 0, len(e))
	for i := range e {
		if m := &e[i]; m.event != nil || m.err != nil || m.Type != "" {
			messages = append(messages, *m)
		}
	}
	return messages
}

// Handle answers a command that leads to events. They are published directly, after fn has succeeded and before the answer is given. That is not atomic: when the
// process dies or the broker fails in between, the command has taken effect and the events are missing. Use [HandleTx] where that matters.
func Handle[C, R any](command *Request[C, R], fn func(ctx context.Context, cmd C) (R, Events, error)) Endpoint {
	return newEndpoint("Handle", command, fn == nil, func(ctx context.Context, e *endpoint, cmd C, key string) (R, error) {
		var none R
		if key != "" {
			return none, fmt.Errorf("this command takes no idempotency key, for want of a transaction: %w", CodeInvalid)
		}
		answer, events, err := fn(ctx, cmd)
		if err != nil {
			return none, err
		}
		if err = e.module.Direct().Publish(ctx, events.happened()...); err != nil {
			return none, fmt.Errorf("the command has taken effect, and its events were not published: %w", err)
		}
		return answer, nil
	})
}

// HandleTx answers a command inside a transaction of the app's store. What fn writes through tx, the events that it returns, and the note about
// the call's idempotency key (see [Once]) are committed together, before the answer is given, or not at all: when fn returns an error or panics,
// nothing has happened. X is the store's native transaction: *sqlite.Tx, *postgres.Tx, or *store.SQLTx.
func HandleTx[X store.Native, C, R any](command *Request[C, R], fn func(ctx context.Context, tx X, cmd C) (R, Events, error)) Endpoint {
	e := newEndpoint("HandleTx", command, fn == nil, func(ctx context.Context, e *endpoint, cmd C, key string) (R, error) {
		var answer R
		err := e.module.app.inTx(ctx, e.request.def.identity(), func(ctx context.Context, native store.Native) error {
			once, err := e.once(ctx, native, cmd, key)
			if err != nil {
				return err
			}
			if once.done {
				return once.read(&answer)
			}
			var events Events
			if answer, events, err = fn(ctx, native.(X), cmd); err != nil { //nolint:errcheck // Check has compared X with the store's transactions
				return err
			}
			if err = e.module.Outbox(native).Publish(ctx, events.happened()...); err != nil {
				return err
			}
			return once.save(ctx, answer)
		})
		return answer, err
	})
	e.native = reflect.TypeFor[X]()
	return e
}

// once is what is known about an idempotency key in a transaction.
type once struct {
	tx         store.Tx // nil: the call has no key
	space, key string
	done       bool // and this is what came of it
	note
}

// note is what is kept with an idempotency key.
type note struct {
	// Command is a hash of the command.
	Command []byte          `json:"command"`
	Answer  json.RawMessage `json:"answer"`
}

// once claims the key. When another call with it is in its transaction, it waits for its end.
func (e *endpoint) once(ctx context.Context, native store.Native, cmd any, key string) (*once, error) {
	if key == "" {
		return &once{}, nil
	}
	data, err := json.Marshal(cmd)
	if err != nil {
		return nil, fmt.Errorf("encode the command, for its idempotency key: %w", err)
	}
	hash := sha256.Sum256(data)
	o := &once{tx: native.StoreTx(), space: "request:" + e.request.def.identity(), key: key, note: note{Command: hash[:]}}
	first, saved, err := o.tx.Claim(ctx, o.space, key)
	if err != nil {
		return nil, fmt.Errorf("idempotency key %s: %w: %w", key, err, CodeUnavailable)
	}
	if first {
		return o, nil
	}
	var before note
	if err = json.Unmarshal(saved, &before); err != nil {
		return nil, fmt.Errorf("idempotency key %s: read the saved answer: %w", key, err)
	}
	if !bytes.Equal(before.Command, o.Command) {
		return nil, fmt.Errorf("idempotency key %s came with another command before: %w", key, CodeConflict)
	}
	o.done, o.note = true, before
	return o, nil
}

// read is the answer of the first call.
func (o *once) read(answer any) error {
	if err := json.Unmarshal(o.Answer, answer); err != nil {
		return fmt.Errorf("idempotency key %s: read the saved answer: %w", o.key, err)
	}
	return nil
}

// save keeps the answer for later calls.
func (o *once) save(ctx context.Context, answer any) error {
	if o.tx == nil {
		return nil
	}
	var err error
	if o.Answer, err = json.Marshal(answer); err != nil {
		return fmt.Errorf("encode the answer, for its idempotency key: %w", err)
	}
	data, err := json.Marshal(o.note)
	if err != nil {
		return fmt.Errorf("encode the answer, for its idempotency key: %w", err)
	}
	if err = o.tx.Save(ctx, o.space, o.key, data); err != nil {
		return fmt.Errorf("idempotency key %s: save the answer: %w", o.key, err)
	}
	return nil
}
