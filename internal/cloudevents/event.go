package cloudevents

import (
	"fmt"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// SpecVersion is the version of the CloudEvents specification that is written, and the only one that is read.
const SpecVersion = "1.0"

// JSON is the content type of JSON data.
const JSON = "application/json"

// Event is one CloudEvents 1.0 event. An empty string and the zero time mean that the attribute is absent.
type Event struct {
	// ID, Source and Type are required. Source and ID together name the event. Source is a URI reference.
	ID, Source, Type string
	// Subject is what the event is about within its source.
	Subject string
	// Time is when it happened, to the nanosecond; decoded times are in UTC. An event that says 0001-01-01T00:00:00Z is
	// read as one without time.
	Time time.Time
	// ContentType is the media type of Data (attribute datacontenttype).
	ContentType string
	// DataSchema is an absolute URI of the schema that Data adheres to.
	DataSchema string

	// PartitionKey is the key that events are ordered by (partitioning extension).
	PartitionKey string
	// CorrelationID is common to all events of one business flow, CausationID is the ID of the event that caused this one.
	CorrelationID, CausationID string
	// TraceParent and TraceState are where the event's trace began (distributed tracing extension). The hop that carries it has its
	// own trace context in a transport header of the same name, which is in Headers.
	TraceParent, TraceState string

	// Extensions are all other attributes. Decode sorts them by name; encoding writes them as they come.
	// Booleans and integers of JSON are kept in their canonical spelling ("true", "42") and written as strings.
	Extensions []Attribute
	// Headers travel beside the event and are no part of it. See [ValidHeader] for which are possible.
	Headers []broker.Header

	// Data is the payload; decoded data shares the memory of the record's value. No data and empty data are the same, because most brokers
	// cannot tell them apart; an explicit JSON null is the four bytes null. White space around JSON data does not survive structured mode.
	Data []byte
}

// Attribute is an extension attribute. Its name has only lower-case letters and digits.
type Attribute = broker.Header

// AttributeError says which attribute is wrong, and how.
type AttributeError struct {
	// Name is the attribute's name without prefix.
	Name string
	// Value is what it was. It is empty when the attribute is missing, or is empty itself.
	Value string
	// Problem completes the sentence, for example "is not an RFC 3339 time".
	Problem string
}

// Error returns for example: cloudevents: attribute "time": "yesterday" is not an RFC 3339 time.
func (e *AttributeError) Error() string {
	const enough = 100 // bytes of a value: the error goes to logs and dead letters
	switch {
	case e.Value == "":
		return fmt.Sprintf("cloudevents: attribute %q %s", e.Name, e.Problem)
	case len(e.Value) > enough:
		return fmt.Sprintf("cloudevents: attribute %q: %q… %s", e.Name, e.Value[:enough], e.Problem)
	default:
		return fmt.Sprintf("cloudevents: attribute %q: %q %s", e.Name, e.Value, e.Problem)
	}
}

// texts are the attributes that are plain strings, under their canonical header names, in the order in which they are
// written. Only time and content type are missing: they have a form of their own.
func (e *Event) texts() [10]broker.Header {
	return [...]broker.Header{
		{Name: "ce-id", Value: e.ID},
		{Name: "ce-source", Value: e.Source},
		{Name: "ce-type", Value: e.Type},
		{Name: "ce-subject", Value: e.Subject},
		{Name: "ce-dataschema", Value: e.DataSchema},
		{Name: "ce-partitionkey", Value: e.PartitionKey},
		{Name: "ce-correlationid", Value: e.CorrelationID},
		{Name: "ce-causationid", Value: e.CausationID},
		{Name: "ce-traceparent", Value: e.TraceParent},
		{Name: "ce-tracestate", Value: e.TraceState},
	}
}
