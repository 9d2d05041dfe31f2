package cloudevents

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidings-go/tidings/broker"
)

// Decode reads an event in either mode from a record's canonical headers and value. The mode is structured if content-type begins with
// application/cloudevents, or if there is no ce- header at all and the value is a JSON object; otherwise it is binary.
// Of structured formats only JSON is read; a batch is refused.
//
// The event shares the memory of headers and value, which must not change while it is in use. In binary mode Decode allocates only for
// extensions and for headers that are no attributes.
func Decode(headers []broker.Header, value []byte) (Event, error) {
	found := inspect(headers)
	if !found.structured(value) {
		return decodeBinary(headers, value, found)
	}
	if err := checkFormat(found.contentType); err != nil {
		return Event{}, err
	}
	return decodeStructured(headers, value, found)
}

// PeekType returns the type of the event in a record and whether it has one, without decoding the rest. It allocates nothing in binary mode.
// The event may be invalid all the same; if it is valid, PeekType and [Decode] agree.
func PeekType(headers []broker.Header, value []byte) (string, bool) {
	if found := inspect(headers); found.structured(value) {
		if !found.announced() && !hasSpecVersion(value) {
			return "", false // any JSON object may have a type
		}
		return peekMember(value, "type")
	}
	for i := range headers {
		if headers[i].Name == eventType {
			return headers[i].Value, headers[i].Value != ""
		}
	}
	return "", false
}

// envelope is what a look at the headers tells about the rest.
type envelope struct {
	contentType    string
	hasContentType bool
	attributes     bool // there are ce- headers
	others         int  // headers that are no attributes
}

func inspect(headers []broker.Header) envelope {
	var found envelope
	for i := range headers {
		switch name := headers[i].Name; {
		case strings.HasPrefix(name, "ce-"):
			found.attributes = true
		case name != contentType:
			found.others++
		case !found.hasContentType:
			found.contentType, found.hasContentType = headers[i].Value, true
		}
	}
	return found
}

// structured reports whether the value is the whole event, as far as can be seen.
func (f envelope) structured(value []byte) bool {
	return f.announced() || !f.attributes && isObject(value)
}

// announced reports whether the sender says that the value is the whole event.
func (f envelope) announced() bool { return isStructured(f.contentType) }

// isEnvelope reports whether a canonical header belongs to the event, and not to the user or the transport.
func isEnvelope(name string) bool { return name == contentType || strings.HasPrefix(name, "ce-") }

const structuredPrefix = "application/cloudevents"

// isStructured reports whether a content type announces structured mode.
func isStructured(contentType string) bool { return hasPrefixFold(contentType, structuredPrefix) }

// checkFormat refuses structured formats that are not JSON. An empty content type is one that the sender did not write.
func checkFormat(contentType string) error {
	if !isStructured(contentType) {
		return nil
	}
	mediaType, _, _ := strings.Cut(contentType[len(structuredPrefix):], ";")
	switch format := strings.ToLower(strings.TrimSpace(mediaType)); {
	case format == "+json", format == "":
		return nil
	case strings.HasPrefix(format, "-batch"):
		return fmt.Errorf("cloudevents: content-type %q: batches are not read: send each event as a message of its own", contentType)
	default:
		return fmt.Errorf("cloudevents: content-type %q: of structured events only application/cloudevents+json is read", contentType)
	}
}

// decoder gathers the attributes of an event, in whichever order they come.
type decoder struct {
	event       Event
	specVersion string
	time        string
}

// set takes one attribute.
func (d *decoder) set(name, value string) error {
	field := d.field(name)
	if field == nil {
		d.event.Extensions = append(d.event.Extensions, Attribute{Name: name, Value: value})
		return nil
	}
	if problem := d.assign(field, value); problem != "" {
		return &AttributeError{Name: name, Value: value, Problem: problem}
	}
	return nil
}

// assign takes the attribute that field gathers, and says what is wrong with it. A second value must be equal to the first.
func (d *decoder) assign(field *string, value string) (problem string) {
	switch {
	case *field != "" && *field != value:
		return "is a second value of this attribute"
	case value == "" && field != &d.event.TraceState: // the only one that its specification lets be empty
		return "is empty"
	}
	*field = value
	return ""
}

// field is where an attribute is gathered, or nil for an extension that has no field.
func (d *decoder) field(name string) *string {
	switch name {
	case "id":
		return &d.event.ID
	case "source":
		return &d.event.Source
	case "specversion":
		return &d.specVersion
	case "type":
		return &d.event.Type
	case "subject":
		return &d.event.Subject
	case "time":
		return &d.time
	case "datacontenttype":
		return &d.event.ContentType
	case "dataschema":
		return &d.event.DataSchema
	case "partitionkey":
		return &d.event.PartitionKey
	case "correlationid":
		return &d.event.CorrelationID
	case "causationid":
		return &d.event.CausationID
	case "traceparent":
		return &d.event.TraceParent
	case "tracestate":
		return &d.event.TraceState
	default:
		return nil
	}
}

// finish adds the headers that are no attributes, and checks the whole.
func (d *decoder) finish(headers []broker.Header, found envelope) (Event, error) {
	switch d.specVersion {
	case SpecVersion:
	case "":
		return Event{}, &AttributeError{Name: "specversion", Problem: "is missing: this is not a CloudEvent"}
	default:
		return Event{}, &AttributeError{Name: "specversion", Value: d.specVersion, Problem: "is not " + SpecVersion}
	}
	if d.time != "" {
		var ok bool
		if d.event.Time, ok = parseTime(d.time); !ok {
			return Event{}, &AttributeError{Name: "time", Value: d.time, Problem: "is not an RFC 3339 time"}
		}
	}
	d.sortExtensions()
	if found.others > 0 {
		d.event.Headers = make([]broker.Header, 0, found.others)
		for _, h := range headers {
			if !isEnvelope(h.Name) {
				d.event.Headers = append(d.event.Headers, h)
			}
		}
	}
	if err := d.event.Validate(); err != nil {
		return Event{}, err
	}
	return d.event, nil
}

// sortExtensions makes the order independent of the transport's (NATS keeps headers in a map) and unites equal repetitions.
func (d *decoder) sortExtensions() {
	extensions := d.event.Extensions
	if len(extensions) < 2 {
		return
	}
	slices.SortStableFunc(extensions, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
	d.event.Extensions = slices.Compact(extensions)
}
