// Package cloudevents is the envelope codec: it turns a CloudEvents 1.0 event into what a [broker.Record] carries, and back.
//
//	e := cloudevents.Event{
//		ID: "0198…", Source: "/tickets", Type: "tickets.BookingMade.v1", Time: now,
//		ContentType: cloudevents.JSON, Data: body,
//	}
//	headers, err := cloudevents.AppendHeaders(nil, &e) // binary mode: the value is e.Data
//	headers, value, err := cloudevents.Structured(&e)  // structured mode: the value is one JSON document
//	e, err = cloudevents.Decode(headers, value)        // either of them
//
// # The canonical form
//
// Both modes produce headers in the canonical form, which is the same on every broker and in every store: an attribute is
// "ce-" and its name in lower case, its value is plain UTF-8. The content type of the data is "content-type". (One that
// begins with application/cloudevents is "ce-datacontenttype": as content-type it would announce structured mode.) Every
// other header belongs to the user or to the transport, is kept in [Event.Headers], and is never taken for an attribute.
//
// A [Binding] maps the canonical form, header by header, to what the CloudEvents binding of a protocol prescribes, so that
// other SDKs read what we write. Adapters call it; nobody else has to know it.
//
//	name, value = cloudevents.Kafka.ToWire("ce-id", "42")   // ce_id
//	name, value = cloudevents.Kafka.FromWire("ce_id", "42") // ce-id
//
// # What is checked
//
// Encoding and decoding check the same rules, so an invalid event is neither sent nor handled. The error is an
// [*AttributeError] where an attribute is at fault, and names it. Extensions that this package does not know are kept.
// [Decode] is generous only where other SDKs are known to write something else:
//
//   - without any ce- header, a JSON object is an event in structured mode (the Go SDK sends it to NATS without headers);
//   - content-type wins over ce-datacontenttype when both are present (the JavaScript SDK writes both to Kafka);
//   - an attribute that is repeated with the same value is read once;
//   - a dataschema may have a fragment, although the specification's grammar has none.
package cloudevents
