package cloudevents_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// FuzzDecodeBinary reads headers from lines of "name: value".
func FuzzDecodeBinary(f *testing.F) {
	const required = "ce-specversion: 1.0\nce-id: 1\nce-source: /s\nce-type: t\n"
	for _, lines := range []string{
		required,
		required + "ce-time: 2018-04-05t17:31:00.5+01:00\nce-subject: a €\ncontent-type: text/plain; charset=utf-8\ntenant: acme",
		required + "ce-b: 2\nce-a: \nce-b: 2\nce-tracestate: \nce-datacontenttype: a/b\nContent-Type: x",
		required + "ce-datacontenttype: application/cloudevents+json",
		required + "ce-dataschema: https://[::1]/%41#x\nce-id: 2",
		"content-type: application/cloudevents+json",
	} {
		f.Add(lines, []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"\uD83D\ude00"}`))
	}
	f.Fuzz(func(t *testing.T, lines string, value []byte) {
		var headers []broker.Header
		for line := range strings.Lines(lines) {
			name, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			headers = append(headers, broker.Header{Name: name, Value: text})
		}
		checkDecode(t, headers, value)
	})
}

func FuzzDecodeStructured(f *testing.F) {
	for _, more := range []string{
		``,
		`,"time":"1990-12-31T15:59:60-08:00","subject":null,"ext":-7,"flag":true,"datacontenttype":"text/plain","data":"a\u0000\n"`,
		`,"data":{"a":[1,2.5e3,"]}\""]}`,
		`,"data_base64":"eyAieHl6IjogMTIzIH0="`,
		`,"s\u0075bject":"\uD83D\uDE00","data":null`,
		`,"datacontenttype":"application/cloudevents+json","data":{}`,
	} {
		f.Add(document(more))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		e, ok := checkDecode(t, structuredHeaders, value)
		if !ok {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(value, &members); err != nil {
			t.Fatalf("accepted, but encoding/json says %v: %q", err, value)
		}
		for name, want := range map[string]string{"id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject} {
			var got *string
			if raw := members[name]; raw != nil && json.Unmarshal(raw, &got) != nil || got != nil && *got != want || got == nil && want != "" {
				t.Fatalf("%s is %q, but encoding/json says %s", name, want, members[name])
			}
		}
	})
}

// checkDecode decodes and, if that goes well, checks that encoding and decoding again in either mode gives the same event.
func checkDecode(t *testing.T, headers []broker.Header, value []byte) (cloudevents.Event, bool) {
	t.Helper()
	before := bytes.Clone(value)
	e, err := cloudevents.Decode(headers, value)
	peeked, found := cloudevents.PeekType(headers, value)
	if !bytes.Equal(before, value) {
		t.Fatal("decoding changed the value")
	}
	if err != nil {
		return e, false
	}
	if !found || peeked != e.Type {
		t.Fatalf("PeekType says %q, Decode says %q", peeked, e.Type)
	}
	encoded, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil {
		t.Fatalf("decoded event can't be encoded: %v", err)
	}
	wantSame(t, e, encoded, e.Data)
	encoded, document, err := cloudevents.Structured(&e)
	if cloudevents.IsJSON(e.ContentType) {
		trimmed := bytes.Trim(e.Data, " \t\r\n")
		if len(e.Data) > 0 && (!json.Valid(trimmed) || !utf8.Valid(trimmed)) {
			if err == nil {
				t.Fatalf("data is not JSON, but was written as such: %q", e.Data)
			}
			return e, true
		}
		if len(e.Data) > 0 {
			e.Data = trimmed
		}
	}
	if err != nil {
		t.Fatalf("decoded event can't be encoded in structured mode: %v", err)
	}
	wantSame(t, e, encoded, document)
	return e, true
}

func wantSame(t *testing.T, want cloudevents.Event, headers []broker.Header, value []byte) {
	t.Helper()
	got, err := cloudevents.Decode(headers, value)
	if err != nil {
		t.Fatalf("encoded event can't be decoded: %v\n%v\n%s", err, headers, value)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("event differs\n got %+v\nwant %+v", got, want)
	}
}

func FuzzNATSHeader(f *testing.F) {
	for _, value := range []string{"", "a%20b", "%C0%A0", "100%", "%%41", `"a \"b\""`, "€", "%2541", `"`, `"\`} {
		f.Add("ce-ext", value)
		f.Add("Content-Type", value)
	}
	f.Fuzz(func(t *testing.T, wireName, wireValue string) {
		name, value := cloudevents.NATS.FromWire(wireName, wireValue)
		if len(value) > len(wireValue) {
			t.Fatalf("%q grew to %q", wireValue, value)
		}
		againName, again := cloudevents.NATS.FromWire(cloudevents.NATS.ToWire(name, value))
		if againName != name || again != value {
			t.Fatalf("%q: %q is read as %q: %q, and then as %q: %q", wireName, wireValue, name, value, againName, again)
		}
	})
}
