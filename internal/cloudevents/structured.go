package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/tidings-go/tidings/broker"
)

// structuredType is the content type that structured mode is written with.
const structuredType = structuredPrefix + "+json; charset=UTF-8"

// Structured returns e in structured mode: a value that is one JSON document, and canonical headers that have only the content type and e's other
// headers. (With ce- headers the Go SDK would take it for binary mode.)
//
// JSON data becomes part of the document, text a JSON string, and everything else base64. Data that is not JSON though
// its content type says so is an error.
func Structured(e *Event) (headers []broker.Header, value []byte, err error) {
	if err = e.Validate(); err != nil {
		return nil, nil, err
	}
	headers = make([]broker.Header, 0, 1+len(e.Headers))
	headers = append(headers, broker.Header{Name: contentType, Value: structuredType})
	headers = append(headers, e.Headers...)

	const envelopeSize = 512 // about: names, punctuation and usual values
	value = make([]byte, 0, envelopeSize+len(e.Data)+len(e.Data)/3)
	value = append(value, `{"specversion":"`+SpecVersion+`"`...)
	for _, a := range e.texts() {
		if a.Value != "" {
			value = appendMember(value, a.Name[3:], a.Value)
		}
	}
	if !e.Time.IsZero() {
		value = append(value, `,"time":"`...)
		value = append(appendTime(value, e.Time), '"')
	}
	if e.ContentType != "" {
		value = appendMember(value, "datacontenttype", e.ContentType)
	}
	for _, a := range e.Extensions {
		value = appendMember(value, a.Name, a.Value)
	}
	if value, err = appendData(value, e); err != nil {
		return nil, nil, err
	}
	return headers, append(value, '}'), nil
}

func appendMember(b []byte, name, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendQuoted(b, value)
}

func appendData(b []byte, e *Event) ([]byte, error) {
	switch {
	case len(e.Data) == 0:
		return b, nil
	case IsJSON(e.ContentType):
		data := bytes.Trim(e.Data, jsonSpace)
		if !json.Valid(data) || !utf8.Valid(data) {
			return nil, fmt.Errorf("cloudevents: data is not the JSON that content type %q promises", e.ContentType)
		}
		return append(append(b, `,"data":`...), data...), nil
	case isText(e.ContentType) && utf8.Valid(e.Data):
		return appendQuoted(append(b, `,"data":`...), e.Data), nil
	default:
		b = append(b, `,"data_base64":"`...)
		return append(base64.StdEncoding.AppendEncode(b, e.Data), '"'), nil
	}
}

// isText reports whether data of a content type may be written as a JSON string: text and XML in Unicode.
func isText(contentType string) bool {
	mediaType, _, parameters := strings.Cut(contentType, ";")
	if !hasPrefixFold(mediaType, "text/") && !strings.HasSuffix(strings.ToLower(mediaType), "xml") {
		return false
	}
	if !parameters {
		return true
	}
	_, params, err := mime.ParseMediaType(contentType)
	return err == nil && (params["charset"] == "" || strings.EqualFold(params["charset"], "utf-8"))
}
