package kafka

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidings-go/tidings/broker"
)

// wireBatch is a batch of n records as a broker would send it.
func wireBatch(tb testing.TB, codec kgo.CompressionCodec, n int) []byte {
	tb.Helper()
	compressor, err := kgo.DefaultCompressor(codec)
	if err != nil {
		tb.Fatal(err)
	}
	e := encoder{compressor: compressor}
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = entry{record: &broker.Record{
			Key: fmt.Sprint("key", i), ID: fmt.Sprint("id", i), Value: []byte("value"),
			Headers: []broker.Header{{Name: "ce-id", Value: fmt.Sprint("id", i)}, {Name: "x", Value: "y"}},
		}, call: &call{at: 1_700_000_000_000}}
	}
	wire := e.encode(entries)
	sign(wire, 7, 0, 0)
	return wire
}

// unpackAll reads everything that answer has.
func unpackAll(answer []byte) ([]broker.Delivery, error) {
	var deliveries []broker.Delivery
	var headers shelf
	for p, rest := firstParcel(answer); p != nil; p, rest = firstParcel(rest) {
		u, err := p.unpack(kgo.DefaultDecompressor())
		for ; err == nil && u.left > 0; err = u.next(&deliveries[len(deliveries)-1], &headers) {
			deliveries = append(deliveries, broker.Delivery{})
		}
		if err != nil {
			return deliveries, err
		}
	}
	return deliveries, nil
}

// FuzzUnpack reads batches that are damaged behind their checksum.
func FuzzUnpack(f *testing.F) {
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.SnappyCompression(), kgo.ZstdCompression(), kgo.Lz4Compression(), kgo.GzipCompression()} {
		f.Add(wireBatch(f, codec, 20))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if p, _ := firstParcel(answer); p != nil {
			_ = newAbortions([]kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: p.producer()}}).drops(p)
			binary.BigEndian.PutUint32(p[crcAt:], crc32.Checksum(p[attributesAt:], castagnoli))
		}
		deliveries, err := unpackAll(answer)
		if err == nil && len(deliveries) > 0 && deliveries[0].Topic != "" {
			t.Error("a batch knows no topic")
		}
	})
}

func TestDamageIsNoticed(t *testing.T) {
	t.Parallel()
	whole := wireBatch(t, kgo.SnappyCompression(), 20)
	if deliveries, err := unpackAll(whole); err != nil || len(deliveries) != 20 || deliveries[19].Sequence != 20 || deliveries[19].ID != "id19" {
		t.Fatalf("a whole batch: %d deliveries, %v", len(deliveries), err)
	}
	for at := attributesAt; at < len(whole); at++ {
		damaged := slices.Clone(whole)
		damaged[at] ^= 1
		if deliveries, err := unpackAll(damaged); err == nil {
			t.Errorf("byte %d was changed: %d deliveries and no error", at, len(deliveries))
		}
	}
	for end := range len(whole) {
		if deliveries, err := unpackAll(whole[:end]); err != nil || len(deliveries) > 0 {
			t.Errorf("cut off at %d: %d deliveries, %v; what is incomplete comes again", end, len(deliveries), err)
		}
	}
	old := slices.Clone(whole)
	old[magicAt] = 1
	if _, err := unpackAll(old); err == nil {
		t.Error("a batch of an old format was read")
	}
}

// TestAbortedTransactions follows marks of transactions that overlap.
func TestAbortedTransactions(t *testing.T) {
	t.Parallel()
	batch := func(producer, first int64, attributes, mark byte) parcel {
		p := parcel(wireBatch(t, kgo.NoCompression(), 1))
		binary.BigEndian.PutUint64(p, uint64(first))
		sign(p, producer, 0, 0)
		if p[attributesAt+1] |= attributes; attributes&controlBit != 0 {
			p = append(p[:headSize], 20, 0, 0, 0, 8, 0, 0, 0, mark)
		}
		return p
	}
	const transactional = transactionBit
	const abort, commit = 0, 1
	a := newAbortions([]kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 1, FirstOffset: 10}, {ProducerID: 2, FirstOffset: 12}, {ProducerID: 1, FirstOffset: 30}})
	for i, step := range []struct {
		p     parcel
		drops bool
	}{
		{batch(1, 5, transactional, 0), false},
		{batch(1, 9, transactional|controlBit, commit), true},
		{batch(1, 10, transactional, 0), true},
		{batch(1, 11, 0, 0), false},
		{batch(2, 12, transactional, 0), true},
		{batch(3, 13, transactional, 0), false},
		{batch(1, 14, transactional|controlBit, abort), true},
		{batch(1, 15, transactional, 0), false},
		{batch(2, 16, transactional, 0), true},
		{batch(2, 17, transactional|controlBit, abort), true},
		{batch(2, 18, transactional, 0), false},
		{batch(1, 30, transactional, 0), true},
	} {
		if got := a.drops(step.p); got != step.drops {
			t.Errorf("step %d, the batch of producer %d at offset %d: dropped: %v", i, step.p.producer(), step.p.first(), got)
		}
	}
}
