package cloudevents_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

func TestInvalidEventsAreNeitherWrittenInBinaryNorInStructuredMode(t *testing.T) {
	type event = cloudevents.Event
	for name, test := range map[string]struct {
		change             func(*event)
		attribute, problem string
	}{
		"no id":                       {func(e *event) { e.ID = "" }, "id", "is missing"},
		"no source":                   {func(e *event) { e.Source = "" }, "source", "is missing"},
		"no type":                     {func(e *event) { e.Type = "" }, "type", "is missing"},
		"line break in id":            {func(e *event) { e.ID = "a\nb" }, "id", "control character"},
		"NUL in subject":              {func(e *event) { e.Subject = "\x00" }, "subject", "control character"},
		"DEL in partitionkey":         {func(e *event) { e.PartitionKey = "\x7f" }, "partitionkey", "control character"},
		"C1 control in correlationid": {func(e *event) { e.CorrelationID = "\u0085" }, "correlationid", "control character"},
		"last C1 control":             {func(e *event) { e.CausationID = "\u009f" }, "causationid", "control character"},
		"noncharacter U+FFFE":         {func(e *event) { e.Subject = "a\ufffe" }, "subject", "not a character"},
		"noncharacter U+FDD0":         {func(e *event) { e.Subject = "\ufdd0" }, "subject", "not a character"},
		"noncharacter U+10FFFF":       {func(e *event) { e.Subject = "\U0010ffff" }, "subject", "not a character"},
		"lone surrogate":              {func(e *event) { e.TraceParent = "\xed\xba\xad" }, "traceparent", "UTF-8"},
		"overlong encoding":           {func(e *event) { e.TraceState = "\xc0\xa0" }, "tracestate", "UTF-8"},
		"cut off character":           {func(e *event) { e.Type = "a\xe2\x82" }, "type", "UTF-8"},
		"space in source":             {func(e *event) { e.Source = "/a b" }, "source", "URI reference"},
		"non-ASCII source":            {func(e *event) { e.Source = "/ä" }, "source", "URI reference"},
		"stray percent in source":     {func(e *event) { e.Source = "/100%" }, "source", "URI reference"},
		"two fragments in source":     {func(e *event) { e.Source = "#a#b" }, "source", "URI reference"},
		"bracket in path of source":   {func(e *event) { e.Source = "/a[0]" }, "source", "URI reference"},
		"source without scheme":       {func(e *event) { e.Source = ":a" }, "source", "URI reference"},
		"scheme begins with digit":    {func(e *event) { e.Source = "1a:b" }, "source", "URI reference"},
		"relative dataschema":         {func(e *event) { e.DataSchema = "/schema" }, "dataschema", "absolute URI"},
		"dataschema with space":       {func(e *event) { e.DataSchema = "https://a/b c" }, "dataschema", "absolute URI"},
		"content type without slash":  {func(e *event) { e.ContentType = "xyz" }, "datacontenttype", "media type"},
		"content type without kind":   {func(e *event) { e.ContentType = "/json" }, "datacontenttype", "media type"},
		"content type without sub":    {func(e *event) { e.ContentType = "text/" }, "datacontenttype", "media type"},
		"content type with two":       {func(e *event) { e.ContentType = "a/b/c" }, "datacontenttype", "media type"},
		"content type with space":     {func(e *event) { e.ContentType = "text/ plain" }, "datacontenttype", "media type"},
		"content type parameter":      {func(e *event) { e.ContentType = "text/plain; charset" }, "datacontenttype", "media type"},
		"no slash but parameter":      {func(e *event) { e.ContentType = "text; charset=utf-8" }, "datacontenttype", "media type"},
		"year 10000":                  {func(e *event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "time", "years"},
		"year -1":                     {func(e *event) { e.Time = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) }, "time", "years"},
		"extension without name":      {extension("", "x"), "", "has no name"},
		"upper-case extension":        {extension("myExt", "x"), "myExt", "letters a-z"},
		"extension with underscore":   {extension("my_ext", "x"), "my_ext", "letters a-z"},
		"extension called data":       {extension("data", "x"), "data", "reserved"},
		"extension with a field":      {extension("subject", "x"), "subject", "own field"},
		"extension called time":       {extension("time", "x"), "time", "own field"},
		"control in extension":        {extension("ext", "\t"), "ext", "control character"},
		"extension twice":             {func(e *event) { extension("b", "1")(e); extension("a", "1")(e); extension("b", "1")(e) }, "b", "second value"},
	} {
		t.Run(name, func(t *testing.T) {
			e := minimal()
			test.change(&e)
			kept := []broker.Header{{Name: "kept", Value: "1"}}
			headers, err := cloudevents.AppendHeaders(kept, &e)
			wantAttributeError(t, err, test.attribute, test.problem)
			if len(headers) != 1 {
				t.Fatalf("AppendHeaders changed dst: %v", headers)
			}
			_, _, err = cloudevents.Structured(&e)
			wantAttributeError(t, err, test.attribute, test.problem)
		})
	}
}

func extension(name, value string) func(*cloudevents.Event) {
	return func(e *cloudevents.Event) {
		e.Extensions = append(e.Extensions, cloudevents.Attribute{Name: name, Value: value})
	}
}

// The check looks at eight bytes at a time where it can; this compares it with the rule, for every byte in every place.
func TestEveryByteIsCheckedInEveryPlace(t *testing.T) {
	for place := range 20 {
		for b := range 256 {
			text := []byte("abcdefghijklmnopqrst")
			text[place] = byte(b)
			e := with(minimal(), func(e *cloudevents.Event) { e.Subject = string(text) })
			if err, want := e.Validate(), b >= 0x20 && b < 0x7f; (err == nil) != want {
				t.Errorf("byte %#x in place %d: got %v", b, place, err)
			}
		}
	}
}

func TestValidValuesAreAccepted(t *testing.T) {
	type event = cloudevents.Event
	changes := map[string]func(*event){
		"plain text":              func(e *event) { e.Subject = "a € \U0001f600 \ufffd \u00a0 ~" },
		"extension":               extension("sequence", "00000000000000000042"),
		"empty extension":         extension("ext", ""),
		"digits first":            extension("1a", "x"),
		"longer than 20":          extension(strings.Repeat("a", 21), "x"),
		"year 0":                  func(e *event) { e.Time = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) },
		"dataschema":              func(e *event) { e.DataSchema = "urn:schema:1" },
		"dataschema and fragment": func(e *event) { e.DataSchema = "https://example.com/v2.json#sha256-abc" },
	}
	for _, source := range []string{
		"https://github.com/cloudevents", "mailto:cncf-wg-serverless@lists.cncf.io", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
		"/cloudevents/spec/pull/123", "1-555-123-4567", "#fragment", "?query", "//authority/path", "a/b:c", "https://[::1]:80/%C3%A4?q=[", "x",
	} {
		changes["source "+source] = func(e *event) { e.Source = strings.TrimSuffix(source, "[") }
	}
	for _, contentType := range []string{
		"text/plain", "application/vnd.example+json", "TEXT/Plain; CharSet=utf-8", `text/plain; a="b;c"`, "application/json;charset=utf-8", "a/b ; c=d",
	} {
		changes["content type "+contentType] = func(e *event) { e.ContentType = contentType }
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			e := with(minimal(), change)
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestHeadersThatLookLikeAttributesAreNotWritten(t *testing.T) {
	for _, name := range []string{"ce-id", "ce-", "ce-anything", "content-type"} {
		e := with(minimal(), func(e *cloudevents.Event) { e.Headers = []broker.Header{{Name: "fine"}, {Name: name, Value: "x"}} })
		if _, err := cloudevents.AppendHeaders(nil, &e); err == nil || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("header %q: got %v, want an error that names it", name, err)
		}
	}
}

func TestValidHeader(t *testing.T) {
	for _, h := range []broker.Header{
		{Name: "tenant", Value: "acme"},
		{Name: "X-Tenant", Value: ""},
		{Name: "traceparent", Value: "00-ab-cd-01"},
		{Name: "a", Value: "ä € b"},
		{Name: "certificate", Value: "x"},
		{Name: "content-language", Value: "de"},
		{Name: "natsy", Value: "x"},
	} {
		if err := cloudevents.ValidHeader(h.Name, h.Value); err != nil {
			t.Errorf("%q: %v", h, err)
		}
	}
	for problem, headers := range map[string][]broker.Header{
		"one word":           {{Name: ""}, {Name: "a b"}, {Name: "a:b"}, {Name: "a\r\nb"}, {Name: "ä"}, {Name: "a\x00"}},
		"reserved":           {{Name: "ce-id"}, {Name: "CE_id"}, {Name: "Content-Type"}, {Name: "Nats-Msg-Id"}},
		"ends with a space":  {{Name: "a", Value: " x"}, {Name: "a", Value: "x "}},
		"control character":  {{Name: "a", Value: "x\r\nNats-Rollup: all"}, {Name: "a", Value: "\x00"}, {Name: "a", Value: "x\ty"}, {Name: "a", Value: "\u0080"}},
		"is not valid UTF-8": {{Name: "a", Value: "\xff"}},
	} {
		for _, h := range headers {
			if err := cloudevents.ValidHeader(h.Name, h.Value); err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("%q: got %v, want an error with %q", h, err, problem)
			}
		}
	}
}

func TestIsJSON(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/json": true, "APPLICATION/JSON": true, "text/json; charset=utf-8": true, "application/vnd.a+json": true, "a/b+c+json ;x=y": true,
		"": false, "json": false, "application/jsonl": false, "application/x-json": false, "text/plain; a=b/json": false, "application/json+xml": false,
	} {
		if got := cloudevents.IsJSON(contentType); got != want {
			t.Errorf("IsJSON(%q) = %v", contentType, got)
		}
	}
}
