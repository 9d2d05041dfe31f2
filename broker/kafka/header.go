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

// toDeliveries translates what was read, without the marks of transactions. The texts of all records are one string and their headers one
// slice, so that a record costs next to no allocation of its own; their values share the memory of what was read anyway.
func toDeliveries(records []*kgo.Record) []broker.Delivery {
	texts, headers := texts(records)
	deliveries := make([]broker.Delivery, 0, len(records))
	for _, r := range records {
		if r.Attrs.IsControl() {
			continue
		}
		var d broker.Delivery
		d.Topic, d.Partition, d.Sequence, d.Time = r.Topic, int(r.Partition), sequence(r.Offset), r.Timestamp
		d.Value = slices.Clip(r.Value)
		d.Key, texts = texts[:len(r.Key)], texts[len(r.Key):]
		texts, headers = readHeaders(&d, r, texts, headers)
		deliveries = append(deliveries, d)
	}
	return deliveries
}

// readHeaders translates the headers of one record, and returns what is left for the others.
func readHeaders(d *broker.Delivery, r *kgo.Record, texts string, headers []broker.Header) (string, []broker.Header) {
	n := 0
	identified := false
	for i := range r.Headers {
		h := &r.Headers[i]
		var value string
		value, texts = texts[:len(h.Value)], texts[len(h.Value):]
		if i == len(r.Headers)-1 && h.Key == idHeader {
			d.ID = value
			break
		}
		headers[n].Name, headers[n].Value = cloudevents.Kafka.FromWire(h.Key, value)
		if !identified && headers[n].Name == ceID {
			d.ID, identified = value, true
		}
		n++
	}
	if n > 0 {
		d.Headers = slices.Clip(headers[:n])
	}
	return texts, headers[n:]
}

// texts returns all keys and header values, one after the other, and room for all headers.
func texts(records []*kgo.Record) (string, []broker.Header) {
	size, count := 0, 0
	for _, r := range records {
		if r.Attrs.IsControl() {
			continue
		}
		size += len(r.Key)
		count += len(r.Headers)
		for i := range r.Headers {
			size += len(r.Headers[i].Value)
		}
	}
	var b strings.Builder
	b.Grow(size)
	for _, r := range records {
		if r.Attrs.IsControl() {
			continue
		}
		b.Write(r.Key)
		for i := range r.Headers {
			b.Write(r.Headers[i].Value)
		}
	}
	return b.String(), make([]broker.Header, count)
}

// sequence is the number that an offset has outside of this package. Offsets begin at 0, which means "nothing" there.
func sequence(offset int64) uint64 { return uint64(offset) + 1 }

// offset is the reverse of sequence.
func offset(sequence uint64) int64 { return int64(sequence) - 1 }
