package cloudevents_test

import (
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// bindings are all there are.
var bindings = map[string]cloudevents.Binding{"NATS": cloudevents.NATS, "Kafka": cloudevents.Kafka, "Redis": cloudevents.Redis}

const structuredType = "application/cloudevents+json; charset=UTF-8"

func TestBindingsWriteWhatTheSpecificationSays(t *testing.T) {
	for name, test := range map[string]struct {
		binding               cloudevents.Binding
		header, value         string
		wireHeader, wireValue string
	}{
		"NATS id":                     {cloudevents.NATS, "ce-id", "1234-1234-1234", "ce-id", "1234-1234-1234"},
		"NATS content type":           {cloudevents.NATS, "content-type", "application/json", "ce-datacontenttype", "application/json"},
		"NATS content type parameter": {cloudevents.NATS, "content-type", "text/plain; charset=utf-8", "ce-datacontenttype", "text/plain;%20charset=utf-8"},
		"NATS structured":             {cloudevents.NATS, "content-type", structuredType, "Content-Type", structuredType},
		"NATS inner event":            {cloudevents.NATS, "ce-datacontenttype", "application/cloudevents+json", "ce-datacontenttype", "application/cloudevents+json"},
		"NATS example of the binding": {cloudevents.NATS, "ce-subject", "Euro € \U0001f600", "ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"},
		"NATS quote and percent":      {cloudevents.NATS, "ce-ext", `"100%"~!`, "ce-ext", "%22100%25%22~!"},
		"NATS control characters":     {cloudevents.NATS, "ce-ext", "\r\n\x7f", "ce-ext", "%0D%0A%7F"},
		"NATS user header":            {cloudevents.NATS, "X-Tenant", "a € 100%", "X-Tenant", "a € 100%"},
		"Kafka id":                    {cloudevents.Kafka, "ce-id", "1234", "ce_id", "1234"},
		"Kafka content type":          {cloudevents.Kafka, "content-type", "application/avro", "content-type", "application/avro"},
		"Kafka structured":            {cloudevents.Kafka, "content-type", structuredType, "content-type", structuredType},
		"Kafka inner event":           {cloudevents.Kafka, "ce-datacontenttype", "application/cloudevents+json", "ce_datacontenttype", "application/cloudevents+json"},
		"Kafka unknown extension":     {cloudevents.Kafka, "ce-comexampleextension1", "a € \"100%\"", "ce_comexampleextension1", "a € \"100%\""},
		"Kafka user header":           {cloudevents.Kafka, "Tenant", "a%20b", "Tenant", "a%20b"},
		"Redis":                       {cloudevents.Redis, "ce-subject", "a € 100%", "ce-subject", "a € 100%"},
	} {
		t.Run(name, func(t *testing.T) {
			wireHeader, wireValue := test.binding.ToWire(test.header, test.value)
			if wireHeader != test.wireHeader || wireValue != test.wireValue {
				t.Fatalf("written as %s: %s, want %s: %s", wireHeader, wireValue, test.wireHeader, test.wireValue)
			}
			if header, value := test.binding.FromWire(wireHeader, wireValue); header != test.header || value != test.value {
				t.Fatalf("read again as %s: %s, want %s: %s", header, value, test.header, test.value)
			}
		})
	}
}

func TestBindingsReadWhatOthersWrite(t *testing.T) {
	for name, test := range map[string]struct {
		binding               cloudevents.Binding
		wireHeader, wireValue string
		header, value         string
	}{
		"NATS any case":                {cloudevents.NATS, "Ce-Id", "1", "ce-id", "1"},
		"NATS upper-case content type": {cloudevents.NATS, "CE-DATACONTENTTYPE", "text/plain", "content-type", "text/plain"},
		"NATS structured, any case":    {cloudevents.NATS, "content-type", "Application/CloudEvents+JSON", "content-type", "Application/CloudEvents+JSON"},
		"NATS Content-Type of a user":  {cloudevents.NATS, "content-type", "application/json", "Content-Type", "application/json"},
		"NATS Go SDK, not escaped":     {cloudevents.NATS, "ce-subject", "a €", "ce-subject", "a €"},
		"NATS Go SDK, stray percent":   {cloudevents.NATS, "ce-pct", "100%", "ce-pct", "100%"},
		"NATS stray percents":          {cloudevents.NATS, "ce-pct", "%%41%4%zz%", "ce-pct", "%A%4%zz%"},
		"NATS lower-case digits":       {cloudevents.NATS, "ce-ext", "%e2%82%ac", "ce-ext", "€"},
		"NATS needless escapes":        {cloudevents.NATS, "ce-ext", "%41%42", "ce-ext", "AB"},
		"NATS one round only":          {cloudevents.NATS, "ce-ext", "%2541", "ce-ext", "%41"},
		"NATS quoted":                  {cloudevents.NATS, "ce-ext", `"a \"b\" \\ %20"`, "ce-ext", `a "b" \  `},
		"NATS quoted, simple":          {cloudevents.NATS, "ce-ext", `"a b"`, "ce-ext", "a b"},
		"NATS empty quotes":            {cloudevents.NATS, "ce-ext", `""`, "ce-ext", ""},
		"NATS a single quote":          {cloudevents.NATS, "ce-ext", `"`, "ce-ext", `"`},
		"NATS quotes within":           {cloudevents.NATS, "ce-ext", `"a" and "b"`, "ce-ext", `"a" and "b"`},
		"NATS last quote escaped":      {cloudevents.NATS, "ce-ext", `"a\"`, "ce-ext", `"a\"`},
		"NATS user header, in quotes":  {cloudevents.NATS, "etag", `"a%20b"`, "etag", `"a%20b"`},
		"NATS not a prefix":            {cloudevents.NATS, "ce_id", "1", "ce_id", "1"},
		"Kafka any case":               {cloudevents.Kafka, "CE_Id", "1", "ce-id", "1"},
		"Kafka content type, any case": {cloudevents.Kafka, "Content-Type", "a/b", "content-type", "a/b"},
		"Kafka JavaScript SDK":         {cloudevents.Kafka, "ce_datacontenttype", "a/b", "ce-datacontenttype", "a/b"},
		"Kafka percent is no escape":   {cloudevents.Kafka, "ce_ext", "%41", "ce-ext", "%41"},
		"Kafka not a prefix":           {cloudevents.Kafka, "cent", "1", "cent", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			if header, value := test.binding.FromWire(test.wireHeader, test.wireValue); header != test.header || value != test.value {
				t.Fatalf("read as %s: %s, want %s: %s", header, value, test.header, test.value)
			}
		})
	}
}

func TestEscapedBytesThatAreNotUTF8AreRefusedByDecode(t *testing.T) {
	name, value := cloudevents.NATS.FromWire("ce-ext", "%C0%A0")
	_, err := cloudevents.Decode(minimalHeaders(broker.Header{Name: name, Value: value}), nil)
	wantAttributeError(t, err, "ext", "UTF-8")
}

func TestBindingsAllocateNothingForAttributesOfOurs(t *testing.T) {
	e := booking()
	headers, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	for name, binding := range bindings {
		n := testing.AllocsPerRun(100, func() {
			for _, h := range headers {
				binding.FromWire(binding.ToWire(h.Name, h.Value))
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}
