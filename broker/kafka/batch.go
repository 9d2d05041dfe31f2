package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// Kafka's record batch, version 2: a head of fixed size, then the records, compressed as one piece.
const (
	headSize = 61
	// Where things are in the head.
	lengthAt     = 8
	leaderAt     = 12
	magicAt      = 16
	crcAt        = 17
	attributesAt = 21
	lastAt       = 23
	firstTimeAt  = 27
	maxTimeAt    = 35
	producerAt   = 43
	epochAt      = 51
	sequenceAt   = 53
	countAt      = 57

	// varint is the most bytes that a length or a delta takes.
	varint = 5
	// tiny batches are not worth compressing, and buffers larger than worthKeeping are for the rare huge record.
	tiny         = 256
	worthKeeping = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// wireSize is at least what r takes in a batch by itself, before compression.
func wireSize(r *broker.Record) int {
	n := headSize + 7*varint + len(r.Key) + len(r.Value) + len(r.Headers)*2*varint
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n + 2*varint + len(idHeader) + len(r.ID)
}

// buffers are what batches are encoded in.
type buffers struct {
	records  []byte
	squeezed bytes.Buffer
}

// encoder makes batches. It is safe for concurrent use.
type encoder struct {
	compressor kgo.Compressor // nil: none
	pool       sync.Pool
}

// encode returns a batch of the entries, without its producer, epoch and sequence.
func (c *encoder) encode(entries []entry) []byte {
	b, ok := c.pool.Get().(*buffers)
	if !ok {
		b = new(buffers)
	}
	first := entries[0].call.at
	latest := first
	raw := b.records[:0]
	for i := range entries {
		latest = max(latest, entries[i].call.at)
		raw = appendRecord(raw, entries[i].record, entries[i].call.at-first, int64(i))
	}

	var codec kgo.CompressionCodecType
	body := raw
	if c.compressor != nil && len(raw) >= tiny {
		b.squeezed.Reset()
		squeezed, used := c.compressor.Compress(&b.squeezed, raw)
		if len(squeezed) > 0 && len(squeezed) < len(raw) {
			body, codec = squeezed, used
		}
	}
	wire := make([]byte, 0, headSize+len(body))
	wire = appendHead(wire, len(entries), first, latest)
	wire[attributesAt+1] = byte(codec)
	wire = append(wire, body...)
	binary.BigEndian.PutUint32(wire[lengthAt:], uint32(len(wire)-leaderAt))
	if b.records = raw; cap(raw) <= worthKeeping {
		c.pool.Put(b)
	}
	return wire
}

func appendHead(wire []byte, count int, first, latest int64) []byte {
	var head [headSize]byte
	binary.BigEndian.PutUint32(head[leaderAt:], ^uint32(0)) // Which epoch the leader has is the leader's business.
	head[magicAt] = 2
	binary.BigEndian.PutUint32(head[lastAt:], uint32(count-1))
	binary.BigEndian.PutUint64(head[firstTimeAt:], uint64(first))
	binary.BigEndian.PutUint64(head[maxTimeAt:], uint64(latest))
	binary.BigEndian.PutUint32(head[countAt:], uint32(count))
	return append(wire, head[:]...)
}

// sign completes a batch with who sends it, and as which. It may be signed again.
func sign(wire []byte, producer int64, epoch int16, sequence int32) {
	binary.BigEndian.PutUint64(wire[producerAt:], uint64(producer))
	binary.BigEndian.PutUint16(wire[epochAt:], uint16(epoch))
	binary.BigEndian.PutUint32(wire[sequenceAt:], uint32(sequence))
	binary.BigEndian.PutUint32(wire[crcAt:], crc32.Checksum(wire[attributesAt:], castagnoli))
}

// appendRecord appends a record and, before it, its length. Nearly all lengths take two bytes, so that room is left for them.
func appendRecord(b []byte, r *broker.Record, age, index int64) []byte {
	const usual = 2
	start := len(b)
	b = appendContent(append(b, make([]byte, usual)...), r, age, index)
	var length [binary.MaxVarintLen64]byte
	n := binary.PutVarint(length[:], int64(len(b)-start-usual))
	return slices.Replace(b, start, start+usual, length[:n]...)
}

// appendContent appends a record without its length. A record without a key or a value has null there, not something empty.
func appendContent(b []byte, r *broker.Record, age, index int64) []byte {
	b = append(b, 0) // attributes
	b = binary.AppendVarint(b, age)
	b = binary.AppendVarint(b, index)
	if r.Key == "" {
		b = binary.AppendVarint(b, -1)
	} else {
		b = appendText(b, r.Key)
	}
	if r.Value == nil {
		b = binary.AppendVarint(b, -1)
	} else {
		b = binary.AppendVarint(b, int64(len(r.Value)))
		b = append(b, r.Value...)
	}
	identified := ownID(r)
	headers := len(r.Headers)
	if identified {
		headers++
	}
	b = binary.AppendVarint(b, int64(headers))
	for i := range r.Headers {
		name, value := cloudevents.Kafka.ToWire(r.Headers[i].Name, r.Headers[i].Value)
		b = appendText(appendText(b, name), value)
	}
	if identified {
		b = appendText(appendText(b, idHeader), r.ID)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendVarint(b, int64(len(s)))
	return append(b, s...)
}
