package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
)

// event is what everybody must agree on: attributes as text, without specversion, and the data, JSON in one canonical form.
type event struct {
	Attributes map[string]string `json:"attributes"`
	Data       []byte            `json:"data"`
}

// samples are events with what is easily broken on the way. Their ids begin with prefix.
func samples(prefix string) []event {
	sample := func(id, contentType, data string, more map[string]string) event {
		e := event{map[string]string{"id": prefix + id, "source": "/interop", "type": "interop.Sampled.v1"}, []byte(data)}
		if contentType != "" {
			e.Attributes["datacontenttype"] = contentType
		}
		maps.Copy(e.Attributes, more)
		return e
	}
	return []event{
		sample("least", "", "", nil),
		sample("usual", "application/json", `{"n":1}`, map[string]string{
			"subject": "a-1", "partitionkey": "a-1", "time": "2026-03-01T12:00:00Z", "correlationid": "flow-1", "causationid": "cause-1",
		}),
		sample("composite", "application/json", `{"n":2}`, map[string]string{
			"partitionkey": `tenant|or\|der\\1`, "time": "2026-03-01T14:00:00.123456+02:00", "dataschema": "https://schemas.example.com/order.json",
			"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1,b=2",
		}),
		sample("precise", "application/json", `{"n":3}`, map[string]string{"time": "2026-12-31T23:59:59.123456789Z"}),
		sample("letters", "application/json; charset=utf-8", `{"name":"Łódź <&> \u2028"}`, map[string]string{
			"subject": `Łódź 🎟 "front row"`, "partitionkey": "Ärger €", "customer": "Müller & Söhne",
		}),
		sample("percent", "application/json", `{"n":4}`, map[string]string{"subject": "100%", "discount": "50%20off and %41", "partitionkey": "7%2F8"}),
		sample("extensions", "application/json", `{"n":5}`, map[string]string{"sequence": "00000000000000000042", "truth": "true", "number": "42"}),
		sample("text", "text/plain; charset=utf-8", "Grüße\nzweite Zeile", map[string]string{"partitionkey": "a-1"}),
		sample("binary", "application/octet-stream", "\x00\x01\xff\n", nil),
	}
}

// anyTime is a time that nobody has given, but that is there.
const anyTime = "any"

// mapped is the event with other values of its attributes.
func (e event) mapped(change func(name, value string) string) event {
	changed := event{map[string]string{}, e.Data}
	for name, value := range e.Attributes {
		changed.Attributes[name] = change(name, value)
	}
	return changed
}

// canonical is the event with its time in UTC, and JSON as encoding/json writes it.
func (e event) canonical(t *testing.T) event {
	t.Helper()
	kind, _, err := mime.ParseMediaType(e.Attributes["datacontenttype"])
	if err == nil && kind == "application/json" && len(e.Data) > 0 {
		var value any
		if err = json.Unmarshal(e.Data, &value); err != nil {
			t.Errorf("%s: %v", e.Attributes["id"], err)
		}
		if e.Data, err = json.Marshal(value); err != nil {
			t.Error(err)
		}
	}
	return e.mapped(func(name, value string) string {
		if name != "time" || value == anyTime {
			return value
		}
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			t.Errorf("%s: %v", e.Attributes["id"], err)
		}
		return at.UTC().Format(time.RFC3339Nano)
	})
}

func (e event) message(t *testing.T) tidings.Message {
	t.Helper()
	m := tidings.Message{Data: e.Data}
	for name, value := range e.Attributes {
		if field := field(&m, name); field != nil {
			*field = value
		} else if name == "time" {
			var err error
			if m.Time, err = time.Parse(time.RFC3339Nano, value); err != nil {
				t.Fatal(err)
			}
		} else {
			m.Extensions = append(m.Extensions, header(name, value))
		}
	}
	return m
}

func eventOf(m *tidings.Message) event {
	e := event{map[string]string{}, m.Data}
	for name := range strings.FieldsSeq(`id type source subject partitionkey correlationid causationid traceparent tracestate datacontenttype dataschema`) {
		if value := *field(m, name); value != "" {
			e.Attributes[name] = value
		}
	}
	if !m.Time.IsZero() {
		e.Attributes["time"] = m.Time.Format(time.RFC3339Nano)
	}
	for _, x := range m.Extensions {
		e.Attributes[x.Name] = x.Value
	}
	return e
}

// field is where a message has an attribute; nil for the time and for extensions.
func field(m *tidings.Message, attribute string) *string {
	return map[string]*string{
		"id": &m.ID, "type": &m.Type, "source": &m.Source, "subject": &m.Subject, "partitionkey": &m.Key, "correlationid": &m.CorrelationID,
		"causationid": &m.CausationID, "traceparent": &m.TraceParent, "tracestate": &m.TraceState, "datacontenttype": &m.ContentType, "dataschema": &m.DataSchema,
	}[attribute]
}

func compare(t *testing.T, got, want []event) {
	t.Helper()
	for _, difference := range differences(t, got, want) {
		t.Error(difference)
	}
}

// differences matches events by id, and says where they are not equal.
func differences(t *testing.T, got, want []event) []string {
	t.Helper()
	var found []string
	byID := map[string]event{}
	for _, e := range got {
		byID[e.Attributes["id"]] = e.canonical(t)
	}
	if len(byID) != len(want) {
		found = append(found, fmt.Sprintf("%d events, want %d", len(byID), len(want)))
	}
	for _, e := range want {
		w := e.canonical(t)
		g, ok := byID[w.Attributes["id"]]
		if !ok {
			found = append(found, w.Attributes["id"]+" has not arrived")
			continue
		}
		if w.Attributes["time"] == anyTime && g.Attributes["time"] != "" {
			g.Attributes["time"] = anyTime
		}
		if !maps.Equal(g.Attributes, w.Attributes) || !bytes.Equal(g.Data, w.Data) {
			found = append(found, fmt.Sprintf("%s:\n got %s\nwant %s", w.Attributes["id"], g, w))
		}
	}
	return found
}

// A comparison that finds nothing would prove nothing.
func TestTheComparisonFindsDifferences(t *testing.T) {
	t.Parallel()
	if found := differences(t, samples(""), samples("")); found != nil {
		t.Errorf("the same: %q", found)
	}
	for what, spoil := range map[string]func(e *event){
		"an attribute": func(e *event) { e.Attributes["subject"] = "other" },
		"one more":     func(e *event) { e.Attributes["more"] = "" },
		"one less":     func(e *event) { delete(e.Attributes, "type") },
		"a nanosecond": func(e *event) { e.Attributes["time"] = "2026-12-31T23:59:59.123456788Z" },
		"the data":     func(e *event) { e.Data = []byte(`{"n":3.5}`) },
		"the event":    func(e *event) { e.Attributes["id"] = "other" },
	} {
		got := samples("")
		spoil(&got[3])
		if found := differences(t, got, samples("")); len(found) != 1 {
			t.Errorf("%s: %q", what, found)
		}
	}
	if found := differences(t, samples("")[1:], samples("")); len(found) != 2 {
		t.Errorf("one is missing: %q", found)
	}
}

func (e event) String() string { return fmt.Sprintf("%q %q", e.Attributes, e.Data) }
