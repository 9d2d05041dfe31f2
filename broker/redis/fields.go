package redis

import (
	"bytes"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/tidings-go/tidings/broker"
)

// Fields that are no headers. A header that is called like one of them, or begins with the prefix, gets the prefix.
const (
	fieldKey     = "key"
	fieldID      = "id"
	fieldData    = "data"
	headerPrefix = "header:"
)

const (
	headerSpec         = "ce-specversion"
	headerPartitionKey = "ce-partitionkey"
	headerContentType  = "content-type"
)

// contentTypeForm is what the fields of an entry that is not ours are delivered as.
const contentTypeForm = "application/x-www-form-urlencoded"

// overhead is about what an entry and a field cost on the wire besides their bytes.
const (
	entryOverhead = 64
	fieldOverhead = 16
)

// appendFields appends names and values of a record's fields as arguments of a command, and tells their size. Strings go by
// reference, which costs no allocation; the record must not change until the command was sent.
func appendFields(args []any, r *broker.Record) (all []any, size int) {
	size = entryOverhead + len(fieldData) + len(r.Value)
	if partitionKey, _ := r.Header(headerPartitionKey); r.Key != partitionKey {
		args = append(args, fieldKey, &r.Key)
		size += len(fieldKey) + len(r.Key) + fieldOverhead
	}
	if r.ID != "" {
		args = append(args, fieldID, &r.ID)
		size += len(fieldID) + len(r.ID) + fieldOverhead
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		if reserved(h.Name) {
			args = append(args, headerPrefix+h.Name, &h.Value)
		} else {
			args = append(args, &h.Name, &h.Value)
		}
		size += len(headerPrefix) + len(h.Name) + len(h.Value) + fieldOverhead
	}
	return append(args, fieldData, r.Value), size
}

func reserved(name string) bool {
	return name == fieldKey || name == fieldID || name == fieldData || strings.HasPrefix(name, headerPrefix)
}

// field is one name and value of an entry, as they came.
type field struct{ name, value []byte }

// record makes a record of an entry's fields. What is neither one of ours nor an event by its headers, or has headers that are
// no text, is delivered with all its fields as a form: nothing of it is lost, and nobody takes it for an event.
func record(topic string, fields []field) broker.Record {
	text, ours := 0, false
	for _, f := range fields {
		switch string(f.name) {
		case fieldData, headerSpec:
			ours = true
		default:
			text += len(f.name)
		}
		text += len(f.value)
	}
	r := broker.Record{Topic: topic}
	if !ours || !fill(&r, fields, text) {
		return foreign(topic, fields)
	}
	return r
}

// fill copies the fields: all text into one string, so that a record does not hold on to the answer it came in.
func fill(r *broker.Record, fields []field, text int) bool {
	buffer := textBuffer{}
	buffer.Grow(text)
	if len(fields) > 1 {
		r.Headers = make([]broker.Header, 0, len(fields)-1) // one is the value
	}
	hasKey := false
	for _, f := range fields {
		switch string(f.name) {
		case fieldData:
			r.Value = bytes.Clone(f.value)
		case fieldKey:
			r.Key, hasKey = buffer.add(f.value), true
		case fieldID:
			r.ID = buffer.add(f.value)
		default:
			name, ok := buffer.name(f.name)
			if !ok || !utf8.Valid(f.value) {
				return false
			}
			r.Headers = append(r.Headers, broker.Header{Name: name, Value: buffer.add(f.value)})
		}
	}
	if len(r.Headers) == 0 {
		r.Headers = nil
	}
	if !hasKey {
		r.Key, _ = r.Header(headerPartitionKey)
	}
	return true
}

// textBuffer makes many strings with one allocation, if it was grown enough before.
type textBuffer struct{ strings.Builder }

func (b *textBuffer) add(text []byte) string {
	begin := b.Len()
	_, _ = b.Write(text)
	return b.String()[begin:]
}

// name is a header's name, unless it is no text. The usual ones need no copy.
func (b *textBuffer) name(field []byte) (string, bool) {
	for _, known := range usualNames {
		if string(field) == known {
			return known, true
		}
	}
	return strings.TrimPrefix(b.add(field), headerPrefix), utf8.Valid(field)
}

var usualNames = [...]string{
	headerSpec, "ce-id", "ce-source", "ce-type", "ce-time", headerContentType, headerPartitionKey, "ce-subject", "ce-correlationid", "ce-causationid",
	"ce-traceparent",
}

func foreign(topic string, fields []field) broker.Record {
	var form strings.Builder
	for i, f := range fields {
		if i > 0 {
			form.WriteByte('&')
		}
		form.WriteString(url.QueryEscape(string(f.name)))
		form.WriteByte('=')
		form.WriteString(url.QueryEscape(string(f.value)))
	}
	return broker.Record{
		Topic: topic, Value: []byte(form.String()),
		Headers: []broker.Header{{Name: headerContentType, Value: contentTypeForm}},
	}
}
