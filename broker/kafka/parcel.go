package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// Bits of a batch's attributes.
const (
	codecBits      = 0x07
	appendTimeBit  = 0x08
	transactionBit = 0x10
	controlBit     = 0x20
)

var errDamaged = errors.New("the batch is damaged")

// parcel is a batch of records as it came from a broker. See batch.go for where things are in it.
type parcel []byte

// firstParcel cuts the first batch off an answer. The last one may be incomplete: then there is none.
func firstParcel(answer []byte) (p parcel, rest []byte) {
	if len(answer) < headSize {
		return nil, nil
	}
	end := int(int32(binary.BigEndian.Uint32(answer[lengthAt:]))) + leaderAt
	if end < headSize || end > len(answer) {
		return nil, nil
	}
	return parcel(answer[:end:end]), answer[end:]
}

func (p parcel) first() int64      { return int64(binary.BigEndian.Uint64(p)) }
func (p parcel) last() int64       { return p.first() + int64(int32(binary.BigEndian.Uint32(p[lastAt:]))) }
func (p parcel) epoch() int32      { return int32(binary.BigEndian.Uint32(p[leaderAt:])) }
func (p parcel) attributes() byte  { return p[attributesAt+1] }
func (p parcel) producer() int64   { return int64(binary.BigEndian.Uint64(p[producerAt:])) }
func (p parcel) count() int        { return max(0, int(int32(binary.BigEndian.Uint32(p[countAt:])))) }
func (p parcel) isControl() bool   { return p.attributes()&controlBit != 0 }
func (p parcel) isOld() bool       { return p[magicAt] < 2 }
func (p parcel) time(at int) int64 { return int64(binary.BigEndian.Uint64(p[at:])) }

// isAbort reports whether p, which is a control batch, marks the end of an aborted transaction.
func (p parcel) isAbort() bool {
	in := kbin.Reader{Src: p[headSize:]}
	in.Varint()
	in.Int8()
	in.Varlong()
	in.Varint()
	key := in.VarintBytes()
	return len(key) >= 4 && binary.BigEndian.Uint16(key[2:]) == 0 // after a version, the kind of mark: 1 is a commit
}

// abortions are the transactions in an answer that were aborted: where each begins, by producer.
type abortions map[int64][]int64

func newAbortions(listed []kmsg.FetchResponseTopicPartitionAbortedTransaction) abortions {
	if len(listed) == 0 {
		return nil
	}
	a := make(abortions)
	for i := range listed {
		a[listed[i].ProducerID] = append(a[listed[i].ProducerID], listed[i].FirstOffset)
	}
	for _, begins := range a {
		slices.Sort(begins)
	}
	return a
}

// drops reports whether there is nothing in p to deliver. It has to be asked about every batch of an answer, in order: marks end transactions.
func (a abortions) drops(p parcel) bool {
	begins := a[p.producer()]
	aborted := len(begins) > 0 && begins[0] <= p.first()
	if !p.isControl() {
		return p.count() == 0 || aborted && p.attributes()&transactionBit != 0
	}
	if aborted && p.isAbort() {
		a[p.producer()] = begins[1:]
	}
	return true
}

// unpacked are the records of a batch that were not delivered yet.
type unpacked struct {
	records []byte
	left    int
	// first is the offset, and begun the time in milliseconds, that those of the records are counted from.
	first, begun int64
	// stored is when the broker stored all of them. Zero: each has a time of its own.
	stored time.Time
}

// unpack checks and decompresses a batch.
func (p parcel) unpack(d kgo.Decompressor) (unpacked, error) {
	if p.isOld() {
		return unpacked{}, fmt.Errorf("the record at offset %d has the format of clients older than Kafka 0.11, which is not read", p.first())
	}
	if crc32.Checksum(p[attributesAt:], castagnoli) != binary.BigEndian.Uint32(p[crcAt:]) {
		return unpacked{}, fmt.Errorf("offset %d: %w: its checksum is wrong", p.first(), errDamaged)
	}
	u := unpacked{records: p[headSize:], left: p.count(), first: p.first(), begun: p.time(firstTimeAt)}
	if p.attributes()&appendTimeBit != 0 {
		u.stored = time.UnixMilli(p.time(maxTimeAt))
	}
	codec := kgo.CompressionCodecType(p.attributes() & codecBits)
	if codec == kgo.CodecNone {
		return u, nil
	}
	var err error
	if u.records, err = d.Decompress(u.records, codec); err != nil {
		return unpacked{}, fmt.Errorf("decompress the batch at offset %d: %w", p.first(), err)
	}
	return u, nil
}

// size is how many bytes the next record takes.
func (u *unpacked) size() int {
	n, _ := kbin.Varint(u.records)
	return int(n)
}

// next takes the next record. Its texts and its value share the memory of the batch, which nobody changes.
func (u *unpacked) next(d *broker.Delivery, headers *shelf) error {
	length, used := kbin.Varint(u.records)
	if used <= 0 || length < 0 || int(length) > len(u.records)-used {
		return fmt.Errorf("offset %d: %w: a record is cut off", u.first, errDamaged)
	}
	in := kbin.Reader{Src: u.records[used : used+int(length)]}
	u.records = u.records[used+int(length):]
	u.left--
	in.Int8() // attributes: unused
	age := in.Varlong()
	d.Sequence = sequence(u.first + int64(in.Varint()))
	if d.Time = u.stored; d.Time.IsZero() {
		d.Time = time.UnixMilli(u.begun + age)
	}
	d.Key = in.UnsafeVarintString()
	d.Value = in.VarintBytes()
	readHeaders(d, &in, headers.take(int(in.VarintArrayLen()), u.left))
	if !in.Ok() {
		return fmt.Errorf("offset %d: %w: its record %d can't be read", u.first, errDamaged, offset(d.Sequence)-u.first)
	}
	return nil
}

// readHeaders translates the headers of one record, as many as there is room for in headers.
func readHeaders(d *broker.Delivery, in *kbin.Reader, headers []broker.Header) {
	identified := false
	for i := range headers {
		name, value := in.UnsafeVarintString(), in.UnsafeVarintString()
		if i == len(headers)-1 && name == idHeader {
			d.ID = value
			headers = headers[:i]
			break
		}
		h := &headers[i]
		if h.Name, h.Value = cloudevents.Kafka.FromWire(name, value); !identified && h.Name == ceID {
			d.ID, identified = value, true
		}
	}
	if len(headers) > 0 {
		d.Headers = slices.Clip(headers)
	}
}

// shelf is where the headers of many records go, so that they are not allocated one by one.
type shelf []broker.Header

// take returns room for n headers of a record. The records after it mostly have as many.
func (s *shelf) take(n, more int) []broker.Header {
	const atOnce = 1024
	n = max(n, 0)
	if n > len(*s) {
		*s = make([]broker.Header, max(n, min(n*(more+1), atOnce)))
	}
	var taken []broker.Header
	taken, *s = (*s)[:n:n], (*s)[n:]
	return taken
}
