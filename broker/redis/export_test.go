package redis

import (
	"context"

	"github.com/tidings-go/tidings/broker"
)

// Trim removes at once what is usually removed now and then.
func (b *Broker) Trim(ctx context.Context) { b.trimmer.trimAll(ctx) }

// RoundTrip makes fields of a record, and a record of them.
func RoundTrip(r broker.Record) broker.Record {
	args, _ := appendFields(nil, &r)
	bytes := func(a any) []byte {
		switch text := a.(type) {
		case string:
			return []byte(text)
		case *string:
			return []byte(*text)
		case []byte:
			return text
		default:
			return nil
		}
	}
	var fields []field
	for i := 0; i < len(args); i += 2 {
		fields = append(fields, field{bytes(args[i]), bytes(args[i+1])})
	}
	return record(r.Topic, fields)
}

// EncodeLive and DecodeLive are the two sides of a live channel.
func EncodeLive(r broker.Record) ([]byte, error) {
	b := &Broker{member: "m", cfg: Config{MaxRecordBytes: 1 << 20}}
	return b.encodeLive(&r)
}

func DecodeLive(topic string, message []byte) (mark string, r broker.Record, err error) {
	return decodeLive(topic, message)
}

// ReadStream and ReadClaimed read answers of the server.
func ReadStream(text []byte) (records []broker.Record, err error) {
	s := source{topic: &topic{name: "t"}}
	c, err := s.chunk(&answer{bytes: text})
	for _, d := range c.deliveries {
		records = append(records, d.Record)
	}
	return records, err
}

func ReadClaimed(answer []byte) (deleted int, err error) {
	r := reply{rest: answer}
	_, n, err := r.claimed()
	if err != nil {
		return 0, err
	}
	if err = r.entries(n, func(entry) {}); err != nil {
		return 0, err
	}
	ids, err := r.deleted()
	return len(ids), err
}

// Sequences are what entries with these IDs are numbered, in that order.
func Sequences(ids ...string) []uint64 {
	var s numbers
	var all []uint64
	for _, text := range ids {
		id, _ := parseID([]byte(text))
		all = append(all, s.next(id))
	}
	return all
}
