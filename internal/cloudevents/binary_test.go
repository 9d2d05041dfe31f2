package cloudevents_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

func TestBinaryModeIsTheCanonicalForm(t *testing.T) {
	e := with(booking(), func(e *cloudevents.Event) {
		e.DataSchema = "https://example.com/v1.json"
		e.TraceState = "a=b"
		e.Extensions = []cloudevents.Attribute{{Name: "sequence", Value: "0042"}}
		e.Headers = []broker.Header{{Name: "tenant", Value: "acme"}, {Name: "traceparent", Value: "00-hop"}}
	})
	headers, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	want := []broker.Header{
		{Name: "ce-specversion", Value: "1.0"},
		{Name: "ce-id", Value: e.ID},
		{Name: "ce-source", Value: "/tickets"},
		{Name: "ce-type", Value: "tickets.BookingMade.v1"},
		{Name: "ce-subject", Value: e.Subject},
		{Name: "ce-dataschema", Value: "https://example.com/v1.json"},
		{Name: "ce-partitionkey", Value: e.PartitionKey},
		{Name: "ce-correlationid", Value: e.CorrelationID},
		{Name: "ce-causationid", Value: e.CausationID},
		{Name: "ce-traceparent", Value: e.TraceParent},
		{Name: "ce-tracestate", Value: "a=b"},
		{Name: "ce-time", Value: "2026-03-01T12:30:15.123456789Z"},
		{Name: "content-type", Value: "application/json"},
		{Name: "ce-sequence", Value: "0042"},
		{Name: "tenant", Value: "acme"},
		{Name: "traceparent", Value: "00-hop"},
	}
	if !slices.Equal(headers, want) {
		t.Fatalf("got %v\nwant %v", headers, want)
	}
	got, err := cloudevents.Decode(headers, e.Data)
	wantEvent(t, got, err, e)
}

func TestTimesAreWrittenInUTC(t *testing.T) {
	e := with(minimal(), func(e *cloudevents.Event) {
		e.Time = time.Date(2018, 4, 5, 19, 31, 0, 500, time.FixedZone("", 2*60*60))
	})
	headers, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil || headers[len(headers)-1] != (broker.Header{Name: "ce-time", Value: "2018-04-05T17:31:00.0000005Z"}) {
		t.Fatalf("got %v, %v", headers, err)
	}
}

func TestAppendHeadersUsesTheRoomThatThereIs(t *testing.T) {
	e := with(booking(), func(e *cloudevents.Event) { e.Time = time.Time{} })
	dst := make([]broker.Header, 0, 16)
	if n := testing.AllocsPerRun(100, func() { dst, _ = cloudevents.AppendHeaders(dst[:0], &e) }); n != 0 {
		t.Fatalf("%v allocations, want none", n)
	}
	e = booking()
	if n := testing.AllocsPerRun(100, func() { dst, _ = cloudevents.AppendHeaders(dst[:0], &e) }); n != 1 {
		t.Fatalf("%v allocations with a time, want one", n)
	}
}

func TestDecodingBinaryModeAllocatesNothingWithoutExtensions(t *testing.T) {
	e := booking()
	headers, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() {
		_, _ = cloudevents.Decode(headers, e.Data)
		_, _ = cloudevents.PeekType(headers, e.Data)
	})
	if n != 0 {
		t.Fatalf("%v allocations, want none", n)
	}
}

func TestDecodeRefusesInvalidAttributes(t *testing.T) {
	without := func(name string) []broker.Header {
		return slices.DeleteFunc(minimalHeaders(), func(h broker.Header) bool { return h.Name == name })
	}
	add := func(name, value string) []broker.Header {
		return minimalHeaders(broker.Header{Name: name, Value: value})
	}
	change := func(name, value string) []broker.Header {
		return append(without(name), broker.Header{Name: name, Value: value})
	}
	for name, test := range map[string]struct {
		headers            []broker.Header
		attribute, problem string
	}{
		"nothing at all":            {nil, "specversion", "is missing: this is not a CloudEvent"},
		"only user headers":         {[]broker.Header{{Name: "tenant", Value: "acme"}}, "specversion", "is missing"},
		"no specversion":            {without("ce-specversion"), "specversion", "is missing"},
		"no id":                     {without("ce-id"), "id", "is missing"},
		"no source":                 {without("ce-source"), "source", "is missing"},
		"no type":                   {without("ce-type"), "type", "is missing"},
		"empty specversion":         {change("ce-specversion", ""), "specversion", "is empty"},
		"other specversion":         {change("ce-specversion", "0.3"), "specversion", "is not 1.0"},
		"empty id":                  {change("ce-id", ""), "id", "is empty"},
		"empty source":              {change("ce-source", ""), "source", "is empty"},
		"empty type":                {change("ce-type", ""), "type", "is empty"},
		"empty subject":             {add("ce-subject", ""), "subject", "is empty"},
		"empty time":                {add("ce-time", ""), "time", "is empty"},
		"empty content type":        {add("content-type", ""), "datacontenttype", "is empty"},
		"empty dataschema":          {add("ce-dataschema", ""), "dataschema", "is empty"},
		"empty partitionkey":        {add("ce-partitionkey", ""), "partitionkey", "is empty"},
		"empty correlationid":       {add("ce-correlationid", ""), "correlationid", "is empty"},
		"empty causationid":         {add("ce-causationid", ""), "causationid", "is empty"},
		"empty traceparent":         {add("ce-traceparent", ""), "traceparent", "is empty"},
		"bad content type":          {add("content-type", "xyz"), "datacontenttype", "media type"},
		"bad ce-datacontenttype":    {add("ce-datacontenttype", "xyz"), "datacontenttype", "media type"},
		"second id":                 {add("ce-id", "other"), "id", "second value"},
		"second extension":          {append(add("ce-ext", "1"), broker.Header{Name: "ce-ext", Value: "2"}), "ext", "second value"},
		"attribute data":            {add("ce-data", "x"), "data", "reserved"},
		"attribute without name":    {add("ce-", "x"), "", "has no name"},
		"punctuated extension":      {add("ce-my.extension", "x"), "my.extension", "letters a-z"},
		"capitalised extension":     {add("ce-MyExtension", "x"), "MyExtension", "letters a-z"},
		"invalid UTF-8 (%C0%A0)":    {add("ce-ext", "\xc0\xa0"), "ext", "UTF-8"},
		"control character in type": {change("ce-type", "a\tb"), "type", "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cloudevents.Decode(test.headers, []byte("data"))
			wantAttributeError(t, err, test.attribute, test.problem)
		})
	}
}

func TestDecodeReadsWhatOtherSDKsWrite(t *testing.T) {
	type headers = []broker.Header
	for name, test := range map[string]struct {
		headers headers
		change  func(*cloudevents.Event)
	}{
		"minimal":                      {nil, func(*cloudevents.Event) {}},
		"equal repetition":             {headers{{Name: "ce-id", Value: "minimal"}, {Name: "ce-ext", Value: "1"}, {Name: "ce-ext", Value: "1"}}, extension("ext", "1")},
		"empty tracestate":             {headers{{Name: "ce-tracestate", Value: ""}}, func(*cloudevents.Event) {}},
		"year 1, the default of .NET":  {headers{{Name: "ce-time", Value: "0001-01-01T00:00:00Z"}}, func(*cloudevents.Event) {}},
		"content type in both headers": {headers{{Name: "ce-datacontenttype", Value: "a/b"}, {Name: "content-type", Value: "c/d"}}, func(e *cloudevents.Event) { e.ContentType = "c/d" }},
		"content type as attribute":    {headers{{Name: "ce-datacontenttype", Value: "a/b"}}, func(e *cloudevents.Event) { e.ContentType = "a/b" }},
		"content type of inner event":  {headers{{Name: "ce-datacontenttype", Value: "application/cloudevents+json"}}, func(e *cloudevents.Event) { e.ContentType = "application/cloudevents+json" }},
		"two content types":            {headers{{Name: "content-type", Value: "a/b"}, {Name: "content-type", Value: "c/d"}}, func(e *cloudevents.Event) { e.ContentType = "a/b" }},
		"extensions in any order":      {headers{{Name: "ce-b", Value: "2"}, {Name: "ce-c", Value: ""}, {Name: "ce-a", Value: "1"}}, func(e *cloudevents.Event) { extension("a", "1")(e); extension("b", "2")(e); extension("c", "")(e) }},
		"others' headers keep order": {headers{{Name: "z", Value: "1"}, {Name: "Content-Type", Value: "x"}, {Name: "cent", Value: "2"}}, func(e *cloudevents.Event) {
			e.Headers = headers{{Name: "z", Value: "1"}, {Name: "Content-Type", Value: "x"}, {Name: "cent", Value: "2"}}
		}},
		"transport's own trace context": {headers{{Name: "ce-traceparent", Value: "start"}, {Name: "traceparent", Value: "hop"}}, func(e *cloudevents.Event) {
			e.TraceParent = "start"
			e.Headers = headers{{Name: "traceparent", Value: "hop"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cloudevents.Decode(minimalHeaders(test.headers...), nil)
			wantEvent(t, got, err, with(minimal(), test.change))
		})
	}
}

func TestAnEventWithinAnEventIsNotTakenForStructuredMode(t *testing.T) {
	e := with(minimal(), func(e *cloudevents.Event) {
		e.ContentType = "Application/CloudEvents+json"
		e.Data = []byte(`{"specversion":"1.0","id":"inner","source":"/inner","type":"inner"}`)
	})
	headers, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := cloudevents.Decode(headers, e.Data)
	wantEvent(t, got, err, e)
	if name, ok := cloudevents.PeekType(headers, e.Data); name != e.Type || !ok {
		t.Fatalf("PeekType: %q, %v", name, ok)
	}
}

func TestPeekType(t *testing.T) {
	structured := []broker.Header{{Name: "content-type", Value: "application/cloudevents+json"}}
	for name, test := range map[string]struct {
		headers []broker.Header
		value   string
		want    string
	}{
		"binary":                   {minimalHeaders(), `{"type":"other"}`, "io.cloudevents.test"},
		"no type":                  {[]broker.Header{{Name: "ce-id", Value: "1"}}, `{"type":"other"}`, ""},
		"empty type":               {[]broker.Header{{Name: "ce-type", Value: ""}}, "", ""},
		"structured":               {structured, ` {"data":{"type":"x"},"type":"a.b"}`, "a.b"},
		"structured, ce- headers":  {minimalHeaders(structured...), `{"type":"a.b"}`, "a.b"},
		"structured, no headers":   {nil, `{"specversion":"1.0","type":"a\u002eb"}`, "a.b"},
		"structured, null type":    {structured, `{"type":null,"type":"a.b"}`, "a.b"},
		"no event, has a type":     {nil, `{"type":"a.b"}`, ""},
		"structured, no type":      {structured, `{"id":"1"}`, ""},
		"structured, numeric type": {structured, `{"type":1}`, ""},
		"structured, garbage":      {structured, `garbage`, ""},
		"nothing":                  {nil, "", ""},
	} {
		got, ok := cloudevents.PeekType(test.headers, []byte(test.value))
		if got != test.want || ok != (test.want != "") {
			t.Errorf("%s: got %q, %v, want %q", name, got, ok, test.want)
		}
	}
}

func TestFormatsThatAreNotReadAreRefusedByName(t *testing.T) {
	for contentType, want := range map[string]string{
		"application/cloudevents-batch+json":                "batches are not read",
		"Application/CloudEvents-Batch+JSON; charset=utf-8": "batches are not read",
		"application/cloudevents+avro":                      "only application/cloudevents+json is read",
		"application/cloudevents+protobuf":                  "only application/cloudevents+json is read",
	} {
		_, err := cloudevents.Decode([]broker.Header{{Name: "content-type", Value: contentType}}, []byte(`[]`))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), contentType) {
			t.Errorf("%s: got %v, want an error with %q", contentType, err, want)
		}
	}
}
