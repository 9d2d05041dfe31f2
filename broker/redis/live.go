package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
)

// Live implements [broker.Broker]. It returns when the server has passed the records on to whoever is subscribed.
func (b *Broker) Live(ctx context.Context, records []broker.Record) error {
	if b.closing.Err() != nil {
		return fmt.Errorf("redis: send live: %w", broker.ErrClosed)
	}
	for i := range records {
		if err := b.sendLive(ctx, &records[i]); err != nil {
			return fmt.Errorf("redis: send live to %s: %w", records[i].Topic, explain(err))
		}
	}
	return nil
}

// sendLive publishes on the server that has the channel's slot, where also all listeners are, so that it knows how many there are.
func (b *Broker) sendLive(ctx context.Context, r *broker.Record) error {
	if err := checkRecord(r); err != nil {
		return err
	}
	message, err := b.encodeLive(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	channel := liveChannel(r.Topic)
	node, err := b.node(ctx, channel)
	if err != nil {
		return err
	}
	heard, err := node.Publish(ctx, channel, message).Result()
	if err != nil {
		b.lookAgain(ctx)
		return err
	}
	if _, asks := r.Header(broker.ReplyTo); asks && heard == 0 {
		return broker.ErrNoListener
	}
	return nil
}

// A live message is a mark that no other has, and the names and values of the record's fields as an entry would have them: each
// with its length before it.
func (b *Broker) encodeLive(r *broker.Record) ([]byte, error) {
	args, size := appendFields(nil, r)
	if err := checkSize(size, b.cfg.MaxRecordBytes); err != nil {
		return nil, err
	}
	message := make([]byte, 0, size+len(b.member))
	message = appendText(message, fmt.Appendf(nil, "%s-%d", b.member, b.marks.Add(1)))
	for _, a := range args {
		switch text := a.(type) {
		case string:
			message = appendText(message, text)
		case *string:
			message = appendText(message, *text)
		case []byte:
			message = appendText(message, text)
		}
	}
	return message, nil
}

func appendText[T string | []byte](message []byte, text T) []byte {
	return append(binary.AppendUvarint(message, uint64(len(text))), text...)
}

// errLive says that something on a live channel was not sent by tidings.
var errLive = errors.New("not a live message of tidings")

func decodeLive(topic string, message []byte) (mark string, r broker.Record, err error) {
	var texts [][]byte
	for len(message) > 0 {
		n, used := binary.Uvarint(message)
		if used <= 0 || n > uint64(len(message)-used) {
			return "", r, errLive
		}
		message = message[used:]
		texts = append(texts, message[:n])
		message = message[n:]
	}
	if len(texts)%2 != 1 {
		return "", r, errLive
	}
	var fields []field
	for i := 1; i < len(texts); i += 2 {
		fields = append(fields, field{texts[i], texts[i+1]})
	}
	return string(texts[0]), record(topic, fields), nil
}

// claim asks for each mark whether this listener is the first of its group.
func (b *Broker) claim(ctx context.Context, group string, marks []string) ([]bool, error) {
	// Not cut short by the listener's end, or nobody would have what the server has noted meanwhile.
	claiming, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(shortTry, cancel) })()
	ctx = claiming
	pipe := b.client.Pipeline()
	answers := make([]*goredis.BoolCmd, len(marks))
	for i, mark := range marks {
		answers[i] = pipe.SetNX(ctx, claimKey(group, mark), b.member, claimed)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, explain(err)
	}
	mine := make([]bool, len(marks))
	for i, a := range answers {
		mine[i] = a.Val()
	}
	return mine, nil
}
