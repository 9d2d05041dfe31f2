package kafka

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

const (
	// idHeader carries a record's ID when it is not the CloudEvents id, which it nearly always is. It is the last header, and only
	// the last one is ours, so that users' headers of that name survive.
	idHeader = "tidings-id"
	ceID     = "ce-id"
)

// ownID reports whether r's ID needs a header of its own.
func ownID(r *broker.Record) bool {
	id, _ := r.Header(ceID)
	return id != r.ID || len(r.Headers) > 0 && r.Headers[len(r.Headers)-1].Name == idHeader
}

// toDelivery translates what was read. One string holds the texts of the record, so that it costs one allocation.
func toDelivery(r *kgo.Record) broker.Delivery {
	texts := text(r)
	d := broker.Delivery{Partition: int(r.Partition), Sequence: sequence(r.Offset), Time: r.Timestamp}
	d.Topic = r.Topic
	d.Value = slices.Clip(r.Value)
	d.Key, texts = texts[:len(r.Key)], texts[len(r.Key):]
	if len(r.Headers) == 0 {
		return d
	}
	d.Headers = make([]broker.Header, 0, len(r.Headers))
	identified := false
	for i := range r.Headers {
		h := &r.Headers[i]
		var value string
		value, texts = texts[:len(h.Value)], texts[len(h.Value):]
		if i == len(r.Headers)-1 && h.Key == idHeader {
			d.ID = value
			break
		}
		name, value := cloudevents.Kafka.FromWire(h.Key, value)
		if name == ceID && !identified {
			d.ID, identified = value, true
		}
		d.Headers = append(d.Headers, broker.Header{Name: name, Value: value})
	}
	return d
}

// text is the key and all header values, one after the other.
func text(r *kgo.Record) string {
	n := len(r.Key)
	for i := range r.Headers {
		n += len(r.Headers[i].Value)
	}
	var b strings.Builder
	b.Grow(n)
	b.Write(r.Key)
	for i := range r.Headers {
		b.Write(r.Headers[i].Value)
	}
	return b.String()
}

// sequence is the number that an offset has outside of this package. Offsets begin at 0, which means "nothing" there.
func sequence(offset int64) uint64 { return uint64(offset) + 1 }

// offset is the reverse of sequence.
func offset(sequence uint64) int64 { return int64(sequence) - 1 }
