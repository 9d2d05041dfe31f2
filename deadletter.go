package tidings

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
	"github.com/tidings-go/tidings/store"
)

// Headers of a message on a "{group}.dead-letters" topic, beside its own.
const (
	deadTopicHeader     = "tidings-dead-topic"
	deadPartitionHeader = "tidings-dead-partition"
	deadSequenceHeader  = "tidings-dead-sequence"
	deadFailureHeader   = "tidings-dead-failure" // one for each failure that was kept, as JSON, oldest first
)

// deadLettersTopic is where a subscription without a store puts what it gives up on.
func deadLettersTopic(group string) string { return group + deadLettersSuffix }

const deadLettersSuffix = ".dead-letters"

// deadLetter keeps a message that the subscription gave up on, with its raw bytes and error history: in the store, or on the topic.
func (s *subscriber) deadLetter(ctx context.Context, dead *consume.Dead) error {
	if s.module.app.cfg.Store == nil {
		return s.publishDead(ctx, dead)
	}
	row := s.row(dead.Delivery)
	row.State = store.Dead
	var err error
	if row.History, err = json.Marshal(dead.History); err != nil {
		return fmt.Errorf("tidings: encode the error history: %w", err)
	}
	return s.inTx(ctx, func(ctx context.Context, native store.Native) error {
		return native.StoreTx().Append(ctx, row)
	})
}

// keptHeader is on what a subscription has in the store: the id by which the message is known there, when it is not in the envelope. Whoever sends it back, it stays
// the message that it was: one without a readable envelope has its first place as its id, and a twin is the one that was chosen.
const keptHeader = "tidings-kept-id"

// row is a delivery as a row of the subscription's queue in the store.
func (s *subscriber) row(d *broker.Delivery) store.Row {
	row := store.Row{Record: d.Record, Queue: s.group}
	m, err := s.module.app.decode(d)
	if err == nil {
		row.Source, row.MessageID = m.Source, m.rowID()
	} else {
		row.MessageID = placeOf(d)
	}
	_, plain := s.module.app.plainOf(d)
	if _, known := row.Record.Header(keptHeader); !known && (err != nil || plain || m.isTwin()) {
		row.Record.Headers = append(slices.Clone(row.Record.Headers), broker.Header{Name: keptHeader, Value: row.MessageID})
	}
	return row
}

// placeOf names a message by where it was first.
func placeOf(d *broker.Delivery) string {
	if id, kept := d.Header(keptHeader); kept {
		return id
	}
	return deadPlace(d)
}

func (s *subscriber) publishDead(ctx context.Context, dead *consume.Dead) error {
	d := dead.Delivery
	r := d.Record
	r.Topic = deadLettersTopic(s.group)
	r.Headers = append(slices.Clone(r.Headers),
		broker.Header{Name: deadTopicHeader, Value: d.Topic},
		broker.Header{Name: deadPartitionHeader, Value: strconv.Itoa(d.Partition)},
		broker.Header{Name: deadSequenceHeader, Value: strconv.FormatUint(d.Sequence, 10)})
	r.ID = deadPlace(d)
	// A history that does not fit beside the message is shortened: to the first and last failure without stacks, and then to nothing.
	for _, history := range [][]consume.Failure{dead.History, brief(dead.History), nil} {
		whole := r
		var err error
		if whole.Headers, err = appendHistory(slices.Clip(r.Headers), history); err != nil {
			return err
		}
		if _, err = s.module.app.send(ctx, []broker.Record{whole}); err == nil || !broker.Permanent(err) || history == nil {
			return err
		}
	}
	return nil
}

func brief(history []consume.Failure) []consume.Failure {
	short := slices.Clone(history[:min(1, len(history))])
	if len(history) > 1 {
		short = append(short, history[len(history)-1])
	}
	for i := range short {
		short[i].Stack = ""
	}
	return short
}

func appendHistory(headers []broker.Header, history []consume.Failure) ([]broker.Header, error) {
	for _, f := range history {
		b, err := json.Marshal(f)
		if err != nil {
			return nil, fmt.Errorf("tidings: encode the error history: %w", err)
		}
		headers = append(headers, broker.Header{Name: deadFailureHeader, Value: string(b)})
	}
	return headers, nil
}

// deadPlace names a message by where it was.
func deadPlace(d *broker.Delivery) string {
	return d.Topic + "/" + strconv.Itoa(d.Partition) + "/" + strconv.FormatUint(d.Sequence, 10)
}
