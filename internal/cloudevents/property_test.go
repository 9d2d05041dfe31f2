package cloudevents_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

func TestEventsSurviveBothModesAndEveryBinding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := events().Draw(t, "event")
		for name, binding := range bindings {
			binary := throughBinary(t, e, binding)
			same(t, name+" binary", binary, e)
			structured := throughStructured(t, e, binding)
			same(t, name+" structured", structured, e)
			same(t, name+" binary, then structured", throughStructured(t, binary, binding), e)
			same(t, name+" structured, then binary", throughBinary(t, structured, binding), e)
		}
	})
}

func TestEveryHeaderSurvivesEveryBinding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringMatching(`ce-[a-z0-9]{1,20}`), rapid.Just("content-type"), rapid.StringMatching(`x-[A-Za-z0-9-]{1,20}`)).Draw(t, "name")
		value := rapid.OneOf(rapid.String(), texts(0), rapid.Just(structuredType)).Draw(t, "value")
		if name == "ce-datacontenttype" && !strings.HasPrefix(value, "application/cloudevents") {
			t.Skip("canonical headers have no such attribute")
		}
		for label, binding := range bindings {
			wireName, wireValue := binding.ToWire(name, value)
			if again, text := binding.FromWire(wireName, wireValue); again != name || text != value {
				t.Fatalf("%s: %q: %q is written as %q: %q and read as %q: %q", label, name, value, wireName, wireValue, again, text)
			}
			if binding == cloudevents.NATS && strings.HasPrefix(wireName, "ce-") && strings.ContainsFunc(wireValue, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' }) {
				t.Fatalf("NATS: %q is not a plain header value", wireValue)
			}
		}
	})
}

// wire is what a broker would keep.
type wire struct {
	headers []broker.Header
	value   []byte
}

func throughBinary(t *rapid.T, e cloudevents.Event, b cloudevents.Binding) cloudevents.Event {
	headers, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil {
		t.Fatalf("binary: %v", err)
	}
	return receive(t, wire{headers, e.Data}, b)
}

func throughStructured(t *rapid.T, e cloudevents.Event, b cloudevents.Binding) cloudevents.Event {
	headers, value, err := cloudevents.Structured(&e)
	if err != nil {
		t.Fatalf("structured: %v", err)
	}
	if !json.Valid(value) {
		t.Fatalf("structured: not JSON: %s", value)
	}
	return receive(t, wire{headers, value}, b)
}

// receive maps w to the wire and back, in an order in which a broker that keeps headers in a map may give them, and decodes it.
func receive(t *rapid.T, w wire, b cloudevents.Binding) cloudevents.Event {
	var received []broker.Header
	for _, h := range w.headers {
		name, value := b.FromWire(b.ToWire(h.Name, h.Value))
		received = append(received, broker.Header{Name: name, Value: value})
	}
	attributes := slices.DeleteFunc(slices.Clone(received), func(h broker.Header) bool { return strings.HasPrefix(h.Name, "x-") })
	others := slices.DeleteFunc(received, func(h broker.Header) bool { return !strings.HasPrefix(h.Name, "x-") })
	received = append(rapid.Permutation(attributes).Draw(t, "order"), others...)
	e, err := cloudevents.Decode(received, w.value)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if name, ok := cloudevents.PeekType(received, w.value); !ok || name != e.Type {
		t.Fatalf("PeekType says %q, %v, Decode says %q", name, ok, e.Type)
	}
	return e
}

func same(t *rapid.T, label string, got, want cloudevents.Event) {
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", label, got, want)
	}
}

// texts draws strings that CloudEvents allows.
func texts(atLeast int) *rapid.Generator[string] {
	characters := rapid.OneOf(
		rapid.RuneFrom([]rune(`abc019-_.:/|\"%+ '{}<&`)),
		rapid.RuneFrom([]rune("äß€→\u00a0\u2028\ufeff\ufffd\ufffc\U0001f600\U0010fffd")),
		rapid.Rune().Filter(func(r rune) bool {
			return r >= 0x20 && (r < 0x7f || r > 0x9f) && (r < 0xfdd0 || r > 0xfdef) && r&0xfffe != 0xfffe
		}),
	)
	return rapid.Map(rapid.SliceOfN(characters, atLeast, 24), func(runes []rune) string { return string(runes) })
}

func events() *rapid.Generator[cloudevents.Event] {
	return rapid.Custom(func(t *rapid.T) cloudevents.Event {
		optional := rapid.OneOf(rapid.Just(""), texts(1))
		e := cloudevents.Event{
			ID:            texts(1).Draw(t, "id"),
			Source:        rapid.StringMatching(`(https?://[a-z]{1,9}(:[0-9]{2})?)?(/[a-zA-Z0-9._~%-]{0,9}){1,3}(\?[a-z=&]{1,5})?(#[a-z]{1,5})?`).Filter(validSource).Draw(t, "source"),
			Type:          texts(1).Draw(t, "type"),
			Subject:       optional.Draw(t, "subject"),
			DataSchema:    rapid.SampledFrom([]string{"", "urn:a:b", "https://example.com/v1.json#x"}).Draw(t, "dataschema"),
			PartitionKey:  optional.Draw(t, "partitionkey"),
			CorrelationID: optional.Draw(t, "correlationid"),
			CausationID:   optional.Draw(t, "causationid"),
			TraceParent:   optional.Draw(t, "traceparent"),
			TraceState:    optional.Draw(t, "tracestate"),
		}
		if rapid.Bool().Draw(t, "has time") {
			seconds := rapid.Int64Range(-62167219200, 253402300799).Draw(t, "seconds")
			e.Time = time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
		}
		for name, value := range rapid.MapOfN(rapid.StringMatching(`x[a-z0-9]{1,8}`), texts(0), 0, 4).Draw(t, "extensions") {
			e.Extensions = append(e.Extensions, cloudevents.Attribute{Name: name, Value: value})
		}
		slices.SortFunc(e.Extensions, func(a, b cloudevents.Attribute) int { return strings.Compare(a.Name, b.Name) })
		for i := range rapid.IntRange(0, 3).Draw(t, "headers") {
			e.Headers = append(e.Headers, broker.Header{Name: fmt.Sprintf("x-%d", i), Value: texts(0).Draw(t, "header")})
		}
		e.ContentType, e.Data = payloads(t)
		return e
	})
}

func validSource(source string) bool {
	e := minimal()
	e.Source = source
	return e.Validate() == nil
}

func payloads(t *rapid.T) (contentType string, data []byte) {
	switch rapid.IntRange(0, 3).Draw(t, "payload") {
	case 0:
		contentType = rapid.SampledFrom([]string{"application/json", "text/json; charset=utf-8", "application/vnd.a+json"}).Draw(t, "content type")
		value := rapid.SampledFrom([]any{nil, true, 1.5, "a string", []any{1, "]"}, map[string]any{"a": map[string]any{"}": "\"\\"}}}).Draw(t, "data")
		data, _ = json.Marshal(value)
	case 1:
		contentType = rapid.SampledFrom([]string{"text/plain", "application/xml", "text/plain; charset=utf-8", "text/plain; charset=latin1"}).Draw(t, "content type")
		data = []byte(rapid.String().Draw(t, "data"))
	case 2:
		contentType = rapid.SampledFrom([]string{"", "application/octet-stream", "text/plain", "application/cloudevents+json"}).Draw(t, "content type")
		data = rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		if cloudevents.IsJSON(contentType) {
			data = []byte(`{"specversion":"1.0","id":"inner"}`)
		}
	}
	if len(data) == 0 {
		return contentType, nil
	}
	return contentType, data
}
