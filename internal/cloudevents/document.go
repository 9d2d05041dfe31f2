package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/tidings-go/tidings/broker"
)

// decodeStructured reads an event that is one JSON document.
func decodeStructured(headers []broker.Header, value []byte, found envelope) (Event, error) {
	if !utf8.Valid(value) {
		return Event{}, errors.New("cloudevents: structured event is not valid UTF-8")
	}
	if !found.announced() && !hasSpecVersion(value) {
		return Event{}, &AttributeError{Name: "specversion", Problem: "is missing: this is not a CloudEvent"}
	}
	d := documentDecoder{scanner: scanner{doc: value}}
	for name, raw := range d.scanner.members() {
		if err := d.member(name, raw); err != nil {
			return Event{}, err
		}
	}
	if err := d.scanner.end(); err != nil {
		return Event{}, err
	}
	if err := d.decodeData(); err != nil {
		return Event{}, err
	}
	return d.finish(headers, found)
}

// documentDecoder is a decoder that reads attributes and data from JSON.
type documentDecoder struct {
	decoder
	scanner      scanner
	data, base64 []byte // still JSON; nil if absent
}

// member takes one member of the document. Data waits for the content type.
func (d *documentDecoder) member(name, raw []byte) error {
	switch string(name) {
	case "data":
		if d.data != nil {
			return errors.New("cloudevents: data is present twice")
		}
		d.data = raw
		return nil
	case "data_base64":
		if d.base64 != nil {
			return errors.New("cloudevents: data_base64 is present twice")
		}
		if string(raw) != "null" {
			d.base64 = raw
		}
		return nil
	default:
		return d.attribute(name, raw)
	}
}

// attribute takes one attribute. Extensions may be booleans and integers too; null is the same as absent.
func (d *documentDecoder) attribute(name, raw []byte) error {
	var value string
	switch {
	case string(raw) == "null":
		return nil
	case raw[0] == '"':
		text, ok := unquote(raw)
		if !ok {
			return &AttributeError{Name: string(name), Value: string(raw), Problem: "is not a string of Unicode characters"}
		}
		value = string(text)
	case isCore(string(name)):
		return &AttributeError{Name: string(name), Value: string(raw), Problem: "is not a string"}
	case string(raw) == "true", string(raw) == "false", isInteger(raw):
		value = string(raw)
	default:
		return &AttributeError{Name: string(name), Value: string(raw), Problem: "is not a string, a boolean or an integer of 32 bits"}
	}
	field := d.field(string(name)) // unlike set, this needs no copy of the name
	if field == nil {
		return d.set(string(name), value)
	}
	if problem := d.assign(field, value); problem != "" {
		return &AttributeError{Name: string(name), Value: value, Problem: problem}
	}
	return nil
}

// decodeData reads data and data_base64 as the content type says.
func (d *documentDecoder) decodeData() error {
	e := &d.event
	switch {
	case d.data != nil && d.base64 != nil:
		return errors.New("cloudevents: both data and data_base64 are present")
	case d.base64 != nil:
		text, ok := unquote(d.base64)
		data, err := base64.StdEncoding.AppendDecode(nil, text)
		if !ok || err != nil {
			return errors.New("cloudevents: data_base64 is not a string of base64")
		}
		e.Data = data
	case d.data == nil:
	case e.ContentType == "" || IsJSON(e.ContentType):
		if !json.Valid(d.data) {
			return errors.New("cloudevents: data is not valid JSON")
		}
		if e.ContentType == "" {
			e.ContentType = JSON // implied; binary mode has to say it
		}
		e.Data = d.data
	default:
		text, ok := unquote(d.data)
		if !ok {
			return fmt.Errorf("cloudevents: data of content type %q is not a JSON string of Unicode characters", e.ContentType)
		}
		e.Data = text
	}
	if len(e.Data) == 0 {
		e.Data = nil
	}
	return nil
}

// isInteger reports whether raw is a JSON integer in the range that CloudEvents allows.
func isInteger(raw []byte) bool {
	digits := bytes.TrimPrefix(raw, []byte{'-'})
	if len(digits) == 0 || !isDigit(digits[0]) || len(digits) > 1 && digits[0] == '0' {
		return false
	}
	_, err := strconv.ParseInt(string(raw), 10, 32)
	return err == nil
}

// isCore reports whether an attribute is one of the specification itself, all of which are strings in JSON.
func isCore(name string) bool {
	switch name {
	case "id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema":
		return true
	default:
		return false
	}
}
