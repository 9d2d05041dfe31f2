package tidings

import (
	"fmt"
	"slices"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// encodeMessage makes the record of a message: CloudEvents in binary mode.
func encodeMessage(m *Message, topic string) (broker.Record, error) {
	e := cloudevents.Event{
		ID: m.ID, Source: m.Source, Type: m.Type, Subject: m.Subject, Time: m.Time, ContentType: m.ContentType,
		PartitionKey: m.Key, CorrelationID: m.CorrelationID, CausationID: m.CausationID, TraceParent: m.TraceParent, TraceState: m.TraceState,
		DataSchema: m.DataSchema, Extensions: m.Extensions, Headers: m.Headers, Data: m.Data,
	}
	headers, err := cloudevents.AppendHeaders(make([]broker.Header, 0, 12+len(m.Extensions)+len(m.Headers)), &e)
	if err != nil {
		return broker.Record{}, fmt.Errorf("tidings: publish %s (id %s): %w", m.Type, m.ID, err)
	}
	return broker.Record{Topic: topic, Key: m.Key, ID: dedupeID(m), Headers: headers, Value: m.Data}, nil
}

// checkHeaders refuses headers of the user's that no broker could carry, or that would be read as something else.
func checkHeaders(m *Message) error {
	for _, h := range m.Headers {
		if err := cloudevents.ValidHeader(h.Name, h.Value); err != nil {
			return fmt.Errorf("tidings: publish %s (id %s): %w", m.Type, m.ID, err)
		}
	}
	return nil
}

// dedupeID is what brokers recognise a message by on one topic. A UUIDv7 is unique by itself; any other id only with its source and type; twins share one.
func dedupeID(m *Message) string {
	const uuidSize, versionAt = 36, 14
	if len(m.ID) == uuidSize && m.ID[versionAt] == '7' && !m.isTwin() {
		return m.ID
	}
	return m.Source + " " + m.Type + " " + m.ID
}

// decodeMessage reads a record, in binary or structured mode. An error is for the dead letters: trying again can't help.
func decodeMessage(d *broker.Delivery) (Message, error) {
	e, err := cloudevents.Decode(d.Headers, d.Value)
	if err != nil {
		return Message{}, DeadLetter(fmt.Errorf("tidings: record %d of %s, partition %d: %w", d.Sequence, d.Topic, d.Partition, err))
	}
	if e.PartitionKey == "" {
		e.PartitionKey = d.Key
	}
	e.Headers = slices.DeleteFunc(e.Headers, func(h broker.Header) bool { return h.Name == keptHeader })
	return Message{
		ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Time: e.Time, ContentType: e.ContentType,
		Key: e.PartitionKey, CorrelationID: e.CorrelationID, CausationID: e.CausationID, TraceParent: e.TraceParent, TraceState: e.TraceState,
		DataSchema: e.DataSchema, Extensions: e.Extensions, Headers: e.Headers, Data: e.Data,
	}, nil
}
