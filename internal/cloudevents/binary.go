package cloudevents

import (
	"strings"

	"github.com/tidings-go/tidings/broker"
)

// Names of canonical headers.
const (
	contentType     = "content-type"
	dataContentType = "ce-datacontenttype" // only where content-type would announce structured mode
	specVersion     = "ce-specversion"
	eventTime       = "ce-time"
	eventType       = "ce-type"
)

// AppendHeaders appends e in binary mode to dst: its attributes and then its other headers, in canonical form. The record's value is e.Data.
// It allocates only for the time, and for dst if that has no room. On an error dst is returned as it was.
func AppendHeaders(dst []broker.Header, e *Event) ([]broker.Header, error) {
	if err := e.Validate(); err != nil {
		return dst, err
	}
	const most = 13 // all attributes that have a field
	if dst == nil {
		dst = make([]broker.Header, 0, most+len(e.Extensions)+len(e.Headers))
	}
	dst = append(dst, broker.Header{Name: specVersion, Value: SpecVersion})
	for _, a := range e.texts() {
		if a.Value != "" {
			dst = append(dst, a)
		}
	}
	if !e.Time.IsZero() {
		var room [40]byte
		dst = append(dst, broker.Header{Name: eventTime, Value: string(appendTime(room[:0], e.Time))})
	}
	if e.ContentType != "" {
		name := contentType
		if isStructured(e.ContentType) {
			name = dataContentType
		}
		dst = append(dst, broker.Header{Name: name, Value: e.ContentType})
	}
	for _, a := range e.Extensions {
		dst = append(dst, broker.Header{Name: "ce-" + a.Name, Value: a.Value})
	}
	return append(dst, e.Headers...), nil
}

// decodeBinary reads an event whose attributes are headers and whose data is the value.
func decodeBinary(headers []broker.Header, value []byte, found envelope) (Event, error) {
	var d decoder
	if found.hasContentType {
		if err := d.set("datacontenttype", found.contentType); err != nil {
			return Event{}, err
		}
	}
	for _, h := range headers {
		name, isAttribute := strings.CutPrefix(h.Name, "ce-")
		if !isAttribute || found.hasContentType && h.Name == dataContentType {
			continue
		}
		if err := d.set(name, h.Value); err != nil {
			return Event{}, err
		}
	}
	if len(value) > 0 {
		d.event.Data = value
	}
	return d.finish(headers, found)
}
