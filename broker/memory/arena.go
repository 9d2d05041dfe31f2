package memory

import (
	"bytes"
	"slices"

	"github.com/tidings-go/tidings/broker"
)

// Sizes of an arena's blocks, and the largest value that goes into one: a record keeps the block alive that its bytes are in.
const (
	arenaBytes   = 16 << 10
	arenaValue   = arenaBytes / 8
	arenaHeaders = 256
	arenaSet     = arenaHeaders / 8
)

// arena copies values and headers into blocks, so that a record costs no allocation of its own.
type arena struct {
	bytes   []byte
	headers []broker.Header
}

// keep returns a copy of r that shares nothing with it that can change.
func (a *arena) keep(r *broker.Record) broker.Record {
	kept := *r
	kept.Value = a.keepValue(r.Value)
	kept.Headers = a.keepHeaders(r.Headers)
	return kept
}

func (a *arena) keepValue(value []byte) []byte {
	if len(value) > arenaValue {
		return bytes.Clone(value)
	}
	if cap(a.bytes)-len(a.bytes) < len(value) {
		a.bytes = make([]byte, 0, arenaBytes)
	}
	start := len(a.bytes)
	a.bytes = append(a.bytes, value...)
	return a.bytes[start:len(a.bytes):len(a.bytes)]
}

func (a *arena) keepHeaders(headers []broker.Header) []broker.Header {
	if len(headers) > arenaSet {
		return slices.Clone(headers)
	}
	if cap(a.headers)-len(a.headers) < len(headers) {
		a.headers = make([]broker.Header, 0, arenaHeaders)
	}
	start := len(a.headers)
	a.headers = append(a.headers, headers...)
	return a.headers[start:len(a.headers):len(a.headers)]
}

// detach replaces values and headers by copies that belong to the reader: what it does to them, no other group sees.
func detach(deliveries []broker.Delivery) {
	size, headers := 0, 0
	for i := range deliveries {
		size += len(deliveries[i].Value)
		headers += len(deliveries[i].Headers)
	}
	own := arena{bytes: make([]byte, 0, size), headers: make([]broker.Header, 0, headers)}
	for i := range deliveries {
		d := &deliveries[i]
		d.Value = own.keepValue(d.Value)
		d.Headers = own.keepHeaders(d.Headers)
	}
}
