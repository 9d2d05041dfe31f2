package nats

import (
	"fmt"
	"net/url"
	"strings"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// Headers that tidings adds. All else is what the NATS binding of CloudEvents says, so that other SDKs read it.
const (
	// headerKey is the record's key, where that is not its ce-partitionkey anyway.
	headerKey = "Tidings-Key"
	// headerOther is a header that a NATS header can't carry unchanged, as name=value, both in query encoding.
	headerOther = "Tidings-Header"

	headerPartitionKey = "ce-partitionkey"
	headerContentType  = "ce-datacontenttype"
	headerID           = natsgo.MsgIdHdr
	headerBatch        = "Nats-Batch-Id"
	headerBatchSeq     = "Nats-Batch-Sequence"
	headerBatchCommit  = "Nats-Batch-Commit"
)

// An ID that begins with '~' is not as the record had it: nobody gave it ("~" and something unique), or it is in query encoding ("~=").
const madeUp, encoded = "~", "~="

// batchOverhead is what the headers of a batch add to a message at most.
const batchOverhead = 128

// encode makes the message of a record and tells its size as the server counts it. The subject is not known yet.
func encode(r *broker.Record) (natsgo.Msg, int) {
	// One slice holds all values, each header gets a piece of it.
	values := make([]string, 0, len(r.Headers)+2)
	header := make(natsgo.Header, len(r.Headers)+4) // with those of a batch
	size := len("NATS/1.0\r\n\r\n") + batchOverhead + len(r.Value)
	set := func(name, value string) {
		size += len(name) + len(value) + len(": \r\n")
		if old := header[name]; old != nil {
			header[name] = append(old, value)
			return
		}
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if r.ID != "" {
		set(headerID, encodeID(r.ID))
	}
	partitionKey := ""
	for _, h := range r.Headers {
		if asItIs(h.Name, h.Value) {
			set(h.Name, h.Value)
		} else {
			set(toWire(h))
		}
		if h.Name == headerPartitionKey {
			partitionKey = h.Value
		}
	}
	if r.Key != partitionKey {
		set(headerKey, url.QueryEscape(r.Key))
	}
	return natsgo.Msg{Header: header, Data: r.Value}, size
}

// asItIs reports whether a header looks the same in a record and on the wire. Nearly all do; for them nothing else needs to be looked at.
func asItIs(name, value string) bool {
	if !strings.HasPrefix(name, "ce-") || name == headerContentType || value == "" {
		return false
	}
	for i := len("ce-"); i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c > '~' || c == '"' || c == '%' {
			return false
		}
	}
	return true
}

func toWire(h broker.Header) (name, value string) {
	name, value = cloudevents.NATS.ToWire(h.Name, h.Value)
	if !travels(name, value) || !comesBack(name, value, h) {
		return headerOther, url.QueryEscape(h.Name) + "=" + url.QueryEscape(h.Value)
	}
	return name, value
}

// travels reports whether a NATS header carries name and value as they are, and nobody on the way takes it for his own.
func travels(name, value string) bool {
	if name == "" || hasPrefixFold(name, "nats-") || hasPrefixFold(name, "tidings-") {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	if value == "" {
		return true
	}
	for _, c := range []byte(value) {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return value[0] != ' ' && value[len(value)-1] != ' '
}

// comesBack reports whether the binding reads what it has written as what it was.
func comesBack(name, value string, h broker.Header) bool {
	gotName, gotValue := cloudevents.NATS.FromWire(name, value)
	return gotName == h.Name && gotValue == h.Value
}

func encodeID(id string) string {
	if strings.HasPrefix(id, madeUp) || !travels("x", id) {
		return encoded + url.QueryEscape(id)
	}
	return id
}

func decodeID(wire string) string {
	if escaped, ok := strings.CutPrefix(wire, encoded); ok {
		return unescape(escaped)
	}
	if strings.HasPrefix(wire, madeUp) {
		return ""
	}
	return wire
}

// decode makes a record of a message.
func decode(topic string, msg *natsgo.Msg) broker.Record {
	r := broker.Record{Topic: topic, Value: msg.Data}
	if len(msg.Header) == 0 {
		return r
	}
	r.Headers = make([]broker.Header, 0, len(msg.Header))
	ownKey := false
	for wireName, values := range msg.Header {
		for _, wire := range values {
			switch {
			case asItIs(wireName, wire):
				r.Headers = append(r.Headers, broker.Header{Name: wireName, Value: wire})
			case wireName == headerID:
				r.ID = decodeID(wire)
			case wireName == headerKey:
				r.Key, ownKey = unescape(wire), true
			case wireName == headerOther:
				name, value, _ := strings.Cut(wire, "=")
				r.Headers = append(r.Headers, broker.Header{Name: unescape(name), Value: unescape(value)})
			case hasPrefixFold(wireName, "nats-"):
			default:
				name, value := cloudevents.NATS.FromWire(wireName, wire)
				r.Headers = append(r.Headers, broker.Header{Name: name, Value: value})
			}
		}
	}
	if !ownKey {
		r.Key, _ = r.Header(headerPartitionKey)
	}
	return r
}

// unescape undoes url.QueryEscape. What somebody else wrote otherwise is kept as it is.
func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// maxHeaderBytes is what the server stores of headers at most.
const maxHeaderBytes = 64<<10 - 1

// checkSize refuses what the server would refuse.
func checkSize(r *broker.Record, size int, maxPayload int64) error {
	if maxPayload > 0 && int64(size) > maxPayload {
		return fmt.Errorf("it has %d bytes with its headers, the server takes %d (max_payload): %w", size, maxPayload, broker.ErrTooLarge)
	}
	if headers := size - len(r.Value); headers > maxHeaderBytes {
		return fmt.Errorf("its headers have %d bytes, the server takes %d: %w", headers, maxHeaderBytes, broker.ErrTooLarge)
	}
	return nil
}
