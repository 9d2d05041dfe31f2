package nats

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker"
)

// What the server says about a batch that is no failure of a record.
var (
	// errOverlap: it has at least one message of the batch already, and has stored nothing now.
	errOverlap = errors.New("the server has part of the batch already")
	// errBatchTooLong: it was configured to take smaller batches.
	errBatchTooLong = errors.New("the batch has more messages than the server takes")
	// errForeign: the stream is there but not as tidings makes it.
	errForeign = errors.New("the stream is not as it must be")
)

// Error codes of JetStream that nats.go has no names for.
const (
	codeTooLarge       = 10054
	codeHeaderTooLarge = 10097
	codeBatchDisabled  = 10174
	codeBatchTooLong   = 10199
	codeOverlap        = 10201
)

// pubAck is the server's answer to a message or a batch.
type pubAck struct {
	Sequence  uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Error     *struct {
		Code        int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// batch is what is stored as one.
type batch struct {
	entries []*entry
	placed  bool // each entry knows its partition
	// id is what the server knows it by, if all but its last message were sent ahead.
	id string
}

// mark gives an ID to the first message of a batch that has none. It is stored with the batch or not at all, so the server's
// knowing it later means that it has the whole batch. The others need none for that, and the server keeps its memory.
func (b *batch) mark() {
	for _, e := range b.entries {
		if e.identified {
			continue
		}
		if e.msg.Header[headerID] == nil {
			e.msg.Header[headerID] = []string{madeUp + rand.Text()}
		}
		return
	}
}

// isMark reports whether an entry carries the mark of its batch.
func isMark(e *entry) bool {
	return !e.identified && !strings.Contains(e.msg.Header.Get(headerID), ".")
}

// identify gives an ID to every message that has none, because each of them is about to be alone.
func identify(entries []*entry) {
	for _, e := range entries {
		if e.msg.Header[headerID] == nil {
			e.msg.Header[headerID] = []string{madeUp + rand.Text() + ".1"}
		}
	}
}

// sendBatch stores messages as one atomic batch and returns the sequence of the last one. Each try has an ID of its own, so that
// what is left of an earlier one is not continued; the message IDs keep a batch from being stored twice.
//
// If the next batch is complete already, all but its last message are sent before this one is committed. They do nothing
// until that last message comes, but the server has work while the answer travels.
func (l *lane) sendBatch(ctx context.Context, b *batch) (last uint64, err error) {
	if b.id == "" {
		if err = l.sendAhead(b); err != nil {
			return 0, err
		}
	}
	b.id = ""
	if l.next == nil {
		l.next = l.takeFull()
		if l.next != nil && l.place(ctx, l.next) == nil {
			l.next.mark()
			_ = l.sendAhead(l.next) // else it is sent when its turn comes
		}
	}
	ack, err := l.request(ctx, &b.entries[len(b.entries)-1].msg)
	return ack.Sequence, err
}

// sendAhead sends all messages of a batch but the last, and prepares that one.
func (l *lane) sendAhead(b *batch) error {
	for n := len(l.numbers); n < len(b.entries); n++ {
		l.numbers = append(l.numbers, strconv.Itoa(n+1))
	}
	id := []string{rand.Text()}
	for i, e := range b.entries {
		e.msg.Header[headerBatch] = id
		e.msg.Header[headerBatchSeq] = l.numbers[i : i+1 : i+1]
		if i == len(b.entries)-1 {
			e.msg.Header[headerBatchCommit] = []string{"1"}
			break
		}
		if err := l.b.nc.PublishMsg(&e.msg); err != nil {
			return sendError(err)
		}
	}
	b.id = id[0]
	return nil
}

// separate takes entries out of their batch, to be sent singly or in another one.
func separate(batch []*entry) {
	for _, e := range batch {
		delete(e.msg.Header, headerBatch)
		delete(e.msg.Header, headerBatchSeq)
		delete(e.msg.Header, headerBatchCommit)
	}
}

// request sends a message and returns the server's answer.
func (l *lane) request(ctx context.Context, msg *natsgo.Msg) (pubAck, error) {
	reply, err := l.b.nc.RequestMsgWithContext(ctx, msg)
	if errors.Is(err, natsgo.ErrNoResponders) {
		return pubAck{}, l.nobodyListens(ctx)
	}
	if err != nil {
		return pubAck{}, sendError(err)
	}
	var ack pubAck
	if err = json.Unmarshal(reply.Data, &ack); err != nil {
		return pubAck{}, fmt.Errorf("the server's answer %.100q can't be read: %w", reply.Data, err)
	}
	if ack.Error == nil {
		return ack, nil
	}
	text := fmt.Sprintf("%s (%d)", ack.Error.Description, ack.Error.Code)
	switch ack.Error.Code {
	case codeTooLarge, codeHeaderTooLarge:
		return pubAck{}, fmt.Errorf("the server says: %s: %w", text, broker.ErrTooLarge)
	case codeOverlap:
		return pubAck{}, errOverlap
	case codeBatchTooLong:
		return pubAck{}, errBatchTooLong
	case codeBatchDisabled:
		return pubAck{}, fmt.Errorf("%w: %s", errForeign, text)
	default:
		return pubAck{}, fmt.Errorf("the server says: %s", text)
	}
}

// nobodyListens finds out why no stream took a message: it is gone, or only without a leader for a while.
func (l *lane) nobodyListens(ctx context.Context) error {
	if _, err := l.b.stream(ctx, l.topic); errors.Is(err, broker.ErrUnknownTopic) {
		l.b.forget(l.topic)
		return err
	}
	return natsgo.ErrNoResponders
}

func sendError(err error) error {
	switch {
	case errors.Is(err, natsgo.ErrMaxPayload):
		return fmt.Errorf("%w: %w", err, broker.ErrTooLarge)
	case errors.Is(err, natsgo.ErrConnectionClosed):
		return fmt.Errorf("%w: %w", err, broker.ErrClosed)
	default:
		return err
	}
}
