// Package admin is what people do with the rows of a store: look, retry, release, edit, discard. The command line is a thin layer over it.
//
//	dead, err := admin.Find(ctx, s, admin.Filter{States: []store.State{store.Dead}, Type: "shop.OrderPlaced.v1"})
//	err = admin.Retry(ctx, s, dead)
//
// Every change is one transaction that is rolled back when a row is not as it was when it was found, so two people can't do two
// things to one row, and nothing is deleted before what replaces it is stored.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
	"github.com/tidings-go/tidings/store"
)

// discardedSuffix names the queue that keeps what was discarded from a queue.
const discardedSuffix = "/discarded"

// outboxQueue stands for the outbox in the name of its discarded rows.
const outboxQueue = "outbox"

// Errors that callers tell apart.
var (
	// ErrChanged says that a row was settled, retried or discarded by somebody else since it was found.
	ErrChanged = errors.New("it has changed meanwhile: list again")
	// ErrNotFound says that no row has an id.
	ErrNotFound = errors.New("there is no such row")
)

// Failure is an entry of a row's history.
type Failure struct {
	Time    time.Time `json:"time"`
	Attempt int       `json:"attempt"`
	Error   string    `json:"error"`
	Panic   bool      `json:"panic,omitempty"`
	Stack   string    `json:"stack,omitempty"`
}

// Filter says which rows to find. Zero fields don't filter.
type Filter struct {
	IDs    []int64
	Queues []string
	States []store.State
	// Topic, Key, Type and Source are compared as they are; Error is a part of the last failure's text.
	Topic, Key, Type, Source, Error string
	// Limit is how many rows at most; 0 is all.
	Limit int
}

// Find reads rows in the order of their ids. With ids, each of them must be there. What was discarded is found by its id or queue alone.
func Find(ctx context.Context, s store.Store, f Filter) ([]store.Row, error) {
	list := store.Filter{Queues: f.Queues, States: f.States, Key: f.Key}
	if len(f.IDs) > 0 {
		list.After = slices.Min(f.IDs) - 1
	}
	var found []store.Row
	for row, err := range s.List(ctx, list) {
		if err != nil {
			return nil, fmt.Errorf("admin: list: %w", err)
		}
		if len(f.IDs) > 0 && row.ID > slices.Max(f.IDs) {
			break
		}
		if f.matches(&row) {
			found = append(found, row)
		}
		if len(found) == f.Limit && f.Limit > 0 {
			break
		}
	}
	for _, id := range f.IDs {
		if f.Limit == 0 && !slices.ContainsFunc(found, func(r store.Row) bool { return r.ID == id }) {
			return nil, fmt.Errorf("admin: row %d: %w", id, ErrNotFound)
		}
	}
	return found, nil
}

func (f *Filter) matches(r *store.Row) bool {
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, r.ID)) &&
		(len(f.IDs) > 0 || f.Queues != nil || !strings.HasSuffix(r.Queue, discardedSuffix)) &&
		(f.Topic == "" || f.Topic == r.Record.Topic) &&
		(f.Source == "" || f.Source == r.Source) &&
		(f.Type == "" || f.Type == Type(r)) &&
		(f.Error == "" || strings.Contains(LastError(r), f.Error))
}

// Type is the CloudEvents type of a row's message, empty if it has none.
func Type(r *store.Row) string {
	typ, _ := cloudevents.PeekType(r.Record.Headers, r.Record.Value)
	return typ
}

// History is what happened to a row, oldest first.
func History(r *store.Row) []Failure {
	var history []Failure
	if json.Unmarshal(r.History, &history) != nil {
		return []Failure{{Error: string(r.History)}}
	}
	return history
}

// LastError is the text of the last failure.
func LastError(r *store.Row) string {
	history := History(r)
	if len(history) == 0 {
		return ""
	}
	return history[len(history)-1].Error
}

// DiscardedQueue is where rows go that were discarded from a queue.
func DiscardedQueue(queue string) string {
	if queue == "" {
		queue = outboxQueue
	}
	return queue + discardedSuffix
}

// Retry sends dead letters back to the subscriptions that gave up on them, and to no other.
func Retry(ctx context.Context, s store.Store, rows []store.Row) error {
	for i := range rows {
		if rows[i].Queue == "" || strings.HasSuffix(rows[i].Queue, discardedSuffix) || rows[i].State != store.Dead {
			return fmt.Errorf("admin: row %d is no dead letter of a subscription: the outbox's are released, and what was discarded stays so", rows[i].ID)
		}
	}
	return inTx(ctx, s, "retry", func(ctx context.Context, tx store.Tx) error { return move(ctx, tx, store.Ready, rows) })
}

// Release lets dead rows of the outbox be published again, before what was held behind them.
func Release(ctx context.Context, s store.Store, rows []store.Row) error {
	var keyed, others []store.Row
	for _, r := range rows {
		if r.Queue != "" || r.State != store.Dead {
			return fmt.Errorf("admin: row %d is no dead row of the outbox: dead letters of subscriptions are retried", r.ID)
		}
		if r.Record.Key == "" {
			others = append(others, r)
		} else {
			keyed = append(keyed, r)
		}
	}
	return inTx(ctx, s, "release", func(ctx context.Context, tx store.Tx) error {
		// The relay publishes the held rows of a key in the order of their ids, once none of the key is dead.
		if err := move(ctx, tx, store.Held, keyed); err != nil {
			return err
		}
		return move(ctx, tx, store.Ready, others)
	})
}

// Park takes ready rows out of the outbox before a relay has published them. Later rows of their keys wait.
func Park(ctx context.Context, s store.Store, rows []store.Row, reason string) error {
	for i := range rows {
		if rows[i].Queue != "" || rows[i].State != store.Ready {
			return fmt.Errorf("admin: row %d is no ready row of the outbox", rows[i].ID)
		}
	}
	return inTx(ctx, s, "park", func(ctx context.Context, tx store.Tx) error {
		for i := range rows {
			history, err := note(&rows[i], "parked: "+reason)
			if err != nil {
				return err
			}
			if err := tx.Note(ctx, rows[i].ID, history); err != nil {
				return err
			}
		}
		return move(ctx, tx, store.Dead, rows)
	})
}

// Discard takes dead rows away. A copy with the reason stays in the queue of [DiscardedQueue].
func Discard(ctx context.Context, s store.Store, rows []store.Row, reason string) error {
	if reason == "" {
		return errors.New("admin: discard needs a reason")
	}
	return inTx(ctx, s, "discard", func(ctx context.Context, tx store.Tx) error { return discard(ctx, tx, rows, "discarded: "+reason) })
}

func discard(ctx context.Context, tx store.Tx, rows []store.Row, reason string) error {
	for i := range rows {
		r := rows[i]
		if r.State != store.Dead || strings.HasSuffix(r.Queue, discardedSuffix) {
			return fmt.Errorf("row %d is not dead, or was discarded before", r.ID)
		}
		history, err := note(&r, reason)
		if err != nil {
			return err
		}
		r.Queue, r.History = DiscardedQueue(r.Queue), history
		if err := tx.Append(ctx, r); err != nil {
			return err
		}
	}
	return move(ctx, tx, store.Gone, rows)
}

// note is a row's history with one more entry.
func note(r *store.Row, text string) ([]byte, error) {
	var history []Failure
	if len(r.History) > 0 {
		history = History(r)
	}
	return json.Marshal(append(history, Failure{Time: time.Now().UTC(), Error: text}))
}

// move fails if a row is not there any more.
func move(ctx context.Context, tx store.Tx, to store.State, rows []store.Row) error {
	if len(rows) == 0 {
		return nil
	}
	ids := make([]int64, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	n, err := tx.Move(ctx, to, ids...)
	if err == nil && n != len(ids) {
		err = fmt.Errorf("%d of %d rows are not there any more: %w", len(ids)-n, len(ids), ErrChanged)
	}
	return err
}

func inTx(ctx context.Context, s store.Store, what string, fn func(ctx context.Context, tx store.Tx) error) error {
	err := s.InTx(ctx, func(ctx context.Context, native store.Native) error { return fn(ctx, native.StoreTx()) })
	if err != nil {
		return fmt.Errorf("admin: %s: %w", what, err)
	}
	return nil
}

// Change says what to change in a message.
type Change struct {
	// Data replaces the payload, if it is not nil.
	Data []byte
	// Headers replaces or adds attributes ("ce-subject") and headers; an empty value takes one away.
	Headers []broker.Header
}
