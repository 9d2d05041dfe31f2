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
	partitionKey := ""
	for i := range r.Headers {
		if r.Headers[i].Name == headerPartitionKey {
			partitionKey = r.Headers[i].Value
		}
	}
	if r.Key != partitionKey {
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
	r := broker.Record{Topic: topic}
	text, headers, ours := 0, 0, false
	for _, f := range fields {
		switch string(f.name) {
		case fieldData:
			ours = true
			continue
		case headerSpec:
			ours = true
			headers++
		case fieldKey, fieldID:
		default:
			headers++
		}
		if !utf8.Valid(f.name) {
			return foreign(topic, fields)
		}
		text += len(f.name) + len(f.value)
	}
	if !ours {
		return foreign(topic, fields)
	}
	if !fill(&r, fields, text, headers) {
		return foreign(topic, fields)
	}
	return r
}

// fill copies the fields: all text into one string, so that a record does not hold on to the answer it came in.
func fill(r *broker.Record, fields []field, text, headers int) bool {
	var all strings.Builder
	all.Grow(text)
	for _, f := range fields {
		if string(f.name) != fieldData {
			all.Write(f.name)
			all.Write(f.value)
		}
	}
	rest := all.String()
	cut := func(n int) string {
		s := rest[:n]
		rest = rest[n:]
		return s
	}
	if headers > 0 {
		r.Headers = make([]broker.Header, 0, headers)
	}
	hasKey := false
	for _, f := range fields {
		if string(f.name) == fieldData {
			r.Value = bytes.Clone(f.value)
			continue
		}
		name, value := cut(len(f.name)), cut(len(f.value))
		switch name {
		case fieldKey:
			r.Key, hasKey = value, true
		case fieldID:
			r.ID = value
		default:
			if !utf8.ValidString(value) {
				return false
			}
			r.Headers = append(r.Headers, broker.Header{Name: strings.TrimPrefix(name, headerPrefix), Value: value})
		}
	}
	if !hasKey {
		r.Key, _ = r.Header(headerPartitionKey)
	}
	return true
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
