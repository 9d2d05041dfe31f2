package cloudevents_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// structuredHeaders announce structured mode.
var structuredHeaders = []broker.Header{{Name: "content-type", Value: "application/cloudevents+json"}}

// document is a minimal event with more members; more may also repeat a member of the event.
func document(more string) []byte {
	return []byte(`{"specversion":"1.0","id":"minimal","source":"https://cloudevents.io","type":"io.cloudevents.test"` + more + `}`)
}

func TestStructuredModeIsOneDocument(t *testing.T) {
	e := with(booking(), func(e *cloudevents.Event) {
		e.Subject = "a \"b\" \\ € </script>"
		e.Extensions = []cloudevents.Attribute{{Name: "sequence", Value: "0042"}}
		e.Headers = []broker.Header{{Name: "tenant", Value: "acme"}}
	})
	headers, value, err := cloudevents.Structured(&e)
	if err != nil {
		t.Fatal(err)
	}
	wantHeaders := []broker.Header{{Name: "content-type", Value: "application/cloudevents+json; charset=UTF-8"}, {Name: "tenant", Value: "acme"}}
	if !slices.Equal(headers, wantHeaders) {
		t.Fatalf("got %v, want %v", headers, wantHeaders)
	}
	want := `{"specversion":"1.0","id":"01987ab3-5f10-7cc1-9d2c-0a4be7c8d1f2","source":"/tickets","type":"tickets.BookingMade.v1",` +
		`"subject":"a \"b\" \\ € </script>","partitionkey":"acme|6f9619ff-8b86-d011-b42d-00c04fc964ff",` +
		`"correlationid":"01987ab3-5f10-7cc1-9d2c-0a4be7c8d1f2","causationid":"01987ab3-5f0e-7a52-8f1d-4b1be7c8d000",` +
		`"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","time":"2026-03-01T12:30:15.123456789Z",` +
		`"datacontenttype":"application/json","sequence":"0042","data":` + string(e.Data) + `}`
	if string(value) != want {
		t.Fatalf("got %s\nwant %s", value, want)
	}
	got, err := cloudevents.Decode(headers, value)
	wantEvent(t, got, err, e)
}

func TestDataIsWrittenAsItsContentTypeSays(t *testing.T) {
	for name, test := range map[string]struct{ contentType, data, want string }{
		"no data":                     {"text/plain", "", ``},
		"object":                      {"application/json", ` {"a": 1} ` + "\n", `,"data":{"a": 1}`},
		"explicit null":               {"application/json", `null`, `,"data":null`},
		"JSON string":                 {"application/vnd.x+json", `"I'm just a string"`, `,"data":"I'm just a string"`},
		"text":                        {"text/plain", "a\n\"b\"\x00", `,"data":"a\n\"b\"\u0000"`},
		"text that looks like JSON":   {"text/plain; charset=UTF-8", `{}`, `,"data":"{}"`},
		"XML":                         {"application/xml", `<much wow="xml"/>`, `,"data":"<much wow=\"xml\"/>"`},
		"text that is not Unicode":    {"text/plain", "\xff", `,"data_base64":"/w=="`},
		"text in another charset":     {"text/plain; charset=iso-8859-1", "a", `,"data_base64":"YQ=="`},
		"binary":                      {"application/octet-stream", "Ma", `,"data_base64":"TWE="`},
		"nobody knows what this is":   {"", `{ "xyz": 123 }`, `,"data_base64":"eyAieHl6IjogMTIzIH0="`},
		"text with other parameters":  {`text/csv; header="present"`, "a", `,"data":"a"`},
		"XML dialect":                 {"image/svg+xml", "<svg/>", `,"data":"<svg/>"`},
		"tab, carriage return, U+001": {"text/plain", "\t\r\x01\u2028", `,"data":"\t\r\u0001` + "\u2028" + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			e := with(minimal(), func(e *cloudevents.Event) { e.ContentType, e.Data = test.contentType, []byte(test.data) })
			headers, value, err := cloudevents.Structured(&e)
			if err != nil {
				t.Fatal(err)
			}
			want := test.want
			if test.contentType != "" {
				quoted, _ := json.Marshal(test.contentType)
				want = `,"datacontenttype":` + string(quoted) + want
			}
			if string(value) != string(document(want)) {
				t.Fatalf("got %s\nwant %s", value, document(want))
			}
			got, err := cloudevents.Decode(headers, value)
			wantEvent(t, got, err, with(e, func(e *cloudevents.Event) {
				e.Data = nil
				if test.data != "" {
					e.Data = []byte(strings.Trim(test.data, " \n"))
				}
			}))
		})
	}
}

func TestDataThatIsNotItsContentTypeIsNotWritten(t *testing.T) {
	for _, data := range []string{"{", " ", "hello", "\"\xff\"", "{} {}"} {
		e := with(minimal(), func(e *cloudevents.Event) { e.ContentType, e.Data = "application/json", []byte(data) })
		if _, _, err := cloudevents.Structured(&e); err == nil || !strings.Contains(err.Error(), "application/json") {
			t.Errorf("%q: got %v, want an error that names the content type", data, err)
		}
	}
}

func TestDocumentsOfTheSpecificationAreRead(t *testing.T) {
	text := func(contentType, data string) func(*cloudevents.Event) {
		return func(e *cloudevents.Event) { e.ContentType, e.Data = contentType, []byte(data) }
	}
	moment := func(e *cloudevents.Event) { e.Time = time.Date(2018, 4, 5, 17, 31, 0, 0, time.UTC) }
	for more, change := range map[string]func(*cloudevents.Event){
		``: func(*cloudevents.Event) {},
		`,"datacontenttype":null,"dataschema":null,"subject":null,"time":null,"unset":null,"data_base64":null`: func(*cloudevents.Event) {},
		`,"time":"2018-04-05T17:31:00Z"`:      moment,
		`,"time":"2018-04-05T18:31:00+01:00"`: moment,
		`,"time":"2018-04-05T17:31:00Z","subject":"tests","datacontenttype":"text/plain","dataschema":"https://cloudevents.io/dataschema"`: func(e *cloudevents.Event) {
			moment(e)
			e.Subject, e.ContentType, e.DataSchema = "tests", "text/plain", "https://cloudevents.io/dataschema"
		},
		`,"datacontenttype":"text/plain","data":"Simple text"`:              text("text/plain", "Simple text"),
		`,"data":"Simple text","datacontenttype":"text/plain"`:              text("text/plain", "Simple text"),
		`,"datacontenttype":"text/plain","data":""`:                         text("text/plain", ""),
		`,"datacontenttype":"application/xml","data":"<much wow=\"xml\"/>"`: text("application/xml", `<much wow="xml"/>`),
		`,"data":{"a" : [1, "]}"]}`:                                         text("application/json", `{"a" : [1, "]}"]}`),
		`,"data":1.5`:                                                       text("application/json", `1.5`),
		`,"data": "I'm just a string" `:                                     text("application/json", `"I'm just a string"`),
		`,"datacontenttype":"application/json","data":"{\"a\":1}"`:          text("application/json", `"{\"a\":1}"`),
		`,"data":null`:                                               text("application/json", `null`),
		`,"data":"\uDEAD"`:                                           text("application/json", `"\uDEAD"`),
		`,"datacontenttype":null,"data":true`:                        text("application/json", `true`),
		`,"data_base64":"eyAieHl6IjogMTIzIH0="`:                      text("", `{ "xyz": 123 }`),
		`,"datacontenttype":"application/json","data_base64":"MQ=="`: text("application/json", `1`),
		`,"extinteger":10,"extboolean":true,"extstring":"text","exturi":"https://cloudevents.io","extempty":"","exttimestamp":"2023-03-31T15:12:00Z","extbinary":"TWE="`: func(e *cloudevents.Event) {
			e.Extensions = []cloudevents.Attribute{
				{Name: "extbinary", Value: "TWE="},
				{Name: "extboolean", Value: "true"},
				{Name: "extempty", Value: ""},
				{Name: "extinteger", Value: "10"},
				{Name: "extstring", Value: "text"},
				{Name: "exttimestamp", Value: "2023-03-31T15:12:00Z"},
				{Name: "exturi", Value: "https://cloudevents.io"},
			}
		},
		`,"a":-2147483648,"b":2147483647,"c":false,"d":0,"partitionkey":7`: func(e *cloudevents.Event) {
			e.Extensions = []cloudevents.Attribute{{Name: "a", Value: "-2147483648"}, {Name: "b", Value: "2147483647"}, {Name: "c", Value: "false"}, {Name: "d", Value: "0"}}
			e.PartitionKey = "7"
		},
		`,"s\u0075bject":"\"\\\/ \u20AC \uD83D\ude00 é"`:                  func(e *cloudevents.Event) { e.Subject = "\"\\/ € \U0001f600 é" },
		`,"id":"minimal","ext":"1","ext":"1"`:                             extension("ext", "1"),
		`,"id":null,"ext":null,"ext":"1"`:                                 extension("ext", "1"),
		`,"correlationid":"c","causationid":"d"`:                          func(e *cloudevents.Event) { e.CorrelationID, e.CausationID = "c", "d" },
		`,"traceparent":"p","tracestate":""`:                              func(e *cloudevents.Event) { e.TraceParent = "p" },
		"\n\t\r ,\n\"subject\" \t:\r\n\"x\" ":                             func(e *cloudevents.Event) { e.Subject = "x" },
		`,"datacontenttype":"text/plain","data":"\ud83d\ude00\b\f\n\r\t"`: text("text/plain", "\U0001f600\b\f\n\r\t"),
	} {
		t.Run(more, func(t *testing.T) {
			want := with(minimal(), change)
			if len(want.Data) == 0 {
				want.Data = nil
			}
			got, err := cloudevents.Decode(structuredHeaders, document(more))
			wantEvent(t, got, err, want)
			got, err = cloudevents.Decode(nil, append([]byte("\n "), document(more)...)) // as the Go SDK sends it to NATS
			wantEvent(t, got, err, want)
		})
	}
}

func TestAttributesOfInvalidDocumentsAreNamed(t *testing.T) {
	for value, want := range map[string][2]string{
		`{"id":"1","type":"t","source":"s"}`:                      {"specversion", "is missing"},
		`{"specversion":"1.0","type":"t","source":"s"}`:           {"id", "is missing"},
		`{"specversion":"1.0","id":"1","source":"s"}`:             {"type", "is missing"},
		`{"specversion":"1.0","id":"1","type":"t"}`:               {"source", "is missing"},
		`{"specversion":"1.0","id":"","type":"t","source":"s"}`:   {"id", "is empty"},
		`{"specversion":"1.0","id":"1","type":"","source":"s"}`:   {"type", "is empty"},
		`{"specversion":"1.0","id":"1","type":"t","source":""}`:   {"source", "is empty"},
		`{"specversion":"","id":"1","type":"t","source":"s"}`:     {"specversion", "is empty"},
		`{"specversion":"0.9","id":"1","type":"t","source":"s"}`:  {"specversion", "is not 1.0"},
		`{"specversion":1.0,"id":"1","type":"t","source":"s"}`:    {"specversion", "is not a string"},
		`{"specversion":"1.0","id":10,"type":"t","source":"s"}`:   {"id", "is not a string"},
		`{"specversion":"1.0","id":{},"type":"t","source":"s"}`:   {"id", "is not a string"},
		`{"specversion":"1.0","id":null,"type":"t","source":"s"}`: {"id", "is missing"},
		string(document(`,"time":"lunchtime"`)):                   {"time", "RFC 3339"},
		string(document(`,"time":1522949460`)):                    {"time", "is not a string"},
		string(document(`,"datacontenttype":"xyz"`)):              {"datacontenttype", "media type"},
		string(document(`,"datacontenttype":""`)):                 {"datacontenttype", "is empty"},
		string(document(`,"dataschema":""`)):                      {"dataschema", "is empty"},
		string(document(`,"dataschema":"/relative"`)):             {"dataschema", "absolute"},
		string(document(`,"subject":""`)):                         {"subject", "is empty"},
		string(document(`,"subject":true`)):                       {"subject", "is not a string"},
		string(document(`,"subject":"\uDEAD"`)):                   {"subject", "Unicode"},
		string(document(`,"subject":"\uD800x"`)):                  {"subject", "Unicode"},
		string(document(`,"subject":"\uD800\u0041"`)):             {"subject", "Unicode"},
		string(document(`,"subject":"\u000a"`)):                   {"subject", "control character"},
		string(document(`,"subject":"\uffff"`)):                   {"subject", "not a character"},
		string(document(`,"subject":"\x"`)):                       {"subject", "Unicode"},
		string(document(`,"subject":"\u12"`)):                     {"subject", "Unicode"},
		string(document(`,"subject":"` + "\n" + `"`)):             {"subject", "Unicode"},
		string(document(`,"subject":"a","subject":"b"`)):          {"subject", "second value"},
		string(document(`,"ext":1,"ext":2`)):                      {"ext", "second value"},
		string(document(`,"MyExtension":"bad"`)):                  {"MyExtension", "letters a-z"},
		string(document(`,"my.extension":"bad"`)):                 {"my.extension", "letters a-z"},
		string(document(`,"":"bad"`)):                             {"", "has no name"},
		string(document(`,"ext":1.5`)):                            {"ext", "32 bits"},
		string(document(`,"ext":1e3`)):                            {"ext", "32 bits"},
		string(document(`,"ext":2147483648`)):                     {"ext", "32 bits"},
		string(document(`,"ext":-2147483649`)):                    {"ext", "32 bits"},
		string(document(`,"ext":01`)):                             {"ext", "32 bits"},
		string(document(`,"ext":+1`)):                             {"ext", "32 bits"},
		string(document(`,"ext":-`)):                              {"ext", "32 bits"},
		string(document(`,"ext":nul`)):                            {"ext", "32 bits"},
		string(document(`,"ext":{"a":1}`)):                        {"ext", "32 bits"},
		string(document(`,"ext":[]`)):                             {"ext", "32 bits"},
		string(document(`,"partitionkey":""`)):                    {"partitionkey", "is empty"},
		`{"Customer_Id":7,"name":"not an event","type":"t"}`:      {"specversion", "this is not a CloudEvent"},
	} {
		t.Run(value, func(t *testing.T) {
			headers := structuredHeaders
			if strings.Contains(value, "Customer_Id") {
				headers = nil
			}
			_, err := cloudevents.Decode(headers, []byte(value))
			wantAttributeError(t, err, want[0], want[1])
		})
	}
}

func TestInvalidDocumentsAreRefused(t *testing.T) {
	for value, want := range map[string]string{
		``:                                     "not a JSON object",
		`null`:                                 "not a JSON object",
		`[]`:                                   "not a JSON object",
		`"x"`:                                  "not a JSON object",
		`{`:                                    "not a JSON object",
		`{"id"`:                                "not a JSON object",
		`{"id":`:                               "not a JSON object",
		`{"id":"1`:                             "not a JSON object",
		`{"id":"1"`:                            "not a JSON object",
		`{"id":"1",}`:                          "not a JSON object",
		`{"id":"1" "type":"t"}`:                "not a JSON object",
		`{id:"1"}`:                             "not a JSON object",
		`{"id":,"a":1}`:                        "not a JSON object",
		`{"data":{"a":1}`:                      "not a JSON object",
		`{"data":{"a}`:                         "not a JSON object",
		`{"id":"1"}}`:                          "not a JSON object",
		`{"\uDEAD":"1"}`:                       "not a JSON object",
		string(document(``)) + "x":             "not a JSON object",
		`{"id":"` + "\xff" + `"}`:              "not valid UTF-8",
		string(document(`,"data":{]`)):         "data is not valid JSON",
		string(document(`,"data":{"a":01}`)):   "data is not valid JSON",
		string(document(`,"data":tru`)):        "data is not valid JSON",
		string(document(`,"data":1,"data":1`)): "data is present twice",
		string(document(`,"data_base64":"","data_base64":""`)):                  "data_base64 is present twice",
		string(document(`,"data":"text","data_base64":"eyAieHl6IjogMTIzIH0="`)): "both data and data_base64",
		string(document(`,"data_base64":"*"`)):                                  "not a string of base64",
		string(document(`,"data_base64":12`)):                                   "not a string of base64",
		string(document(`,"datacontenttype":"text/plain","data":{"a":1}`)):      "not a JSON string",
		string(document(`,"datacontenttype":"text/plain","data":null`)):         "not a JSON string",
		string(document(`,"datacontenttype":"text/plain","data":"\uDEAD"`)):     "not a JSON string",
	} {
		t.Run(value, func(t *testing.T) {
			_, err := cloudevents.Decode(structuredHeaders, []byte(value))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v, want an error with %q", err, want)
			}
		})
	}
}

func TestStructuredModeIgnoresAttributesInHeaders(t *testing.T) {
	headers := minimalHeaders(broker.Header{Name: "content-type", Value: "APPLICATION/CloudEvents+JSON ; charset=UTF-8"}, broker.Header{Name: "tenant", Value: "acme"})
	headers[1].Value = "mirrored" // Kafka senders may repeat attributes in headers; the document counts
	got, err := cloudevents.Decode(headers, document(``))
	wantEvent(t, got, err, with(minimal(), func(e *cloudevents.Event) { e.Headers = []broker.Header{{Name: "tenant", Value: "acme"}} }))
}

func TestDecodedDataCannotGrowIntoTheDocument(t *testing.T) {
	for _, data := range []string{`{"a":1}`, `"text"`, `12`} {
		value := document(`,"data":` + data + `,"subject":"x"`)
		e, err := cloudevents.Decode(structuredHeaders, value)
		if err != nil {
			t.Fatal(err)
		}
		_ = append(e.Data, "overwritten"...)
		if string(value) != string(document(`,"data":`+data+`,"subject":"x"`)) {
			t.Fatalf("appending to data changed the document: %s", value)
		}
	}
}
