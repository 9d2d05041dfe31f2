package cloudevents

import (
	"fmt"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidings-go/tidings/broker"
)

// Validate checks every rule of the specification that concerns attributes. Encoding and decoding call it. What is wrong with data
// shows only where data is read or written as JSON, in structured mode.
func (e *Event) Validate() error {
	texts := e.texts()
	for i, a := range texts {
		if a.Value == "" && i < 3 { // id, source, type
			return &AttributeError{Name: a.Name[3:], Problem: "is missing"}
		}
		if problem := checkText(a.Value); problem != "" {
			return &AttributeError{Name: a.Name[3:], Value: a.Value, Problem: problem}
		}
	}
	switch {
	case !isURIReference(e.Source):
		return &AttributeError{Name: "source", Value: e.Source, Problem: "is not a URI reference"}
	case e.DataSchema != "" && (schemeLen(e.DataSchema) == 0 || !isURIReference(e.DataSchema)):
		return &AttributeError{Name: "dataschema", Value: e.DataSchema, Problem: "is not an absolute URI"}
	case e.ContentType != "" && !isMediaType(e.ContentType):
		return &AttributeError{Name: "datacontenttype", Value: e.ContentType, Problem: "is not a media type such as application/json"}
	case !writable(e.Time):
		return &AttributeError{Name: "time", Value: e.Time.String(), Problem: "is not in the years 0 to 9999"}
	}
	if err := checkExtensions(e.Extensions); err != nil {
		return err
	}
	return checkHeaders(e.Headers)
}

func checkExtensions(extensions []Attribute) error {
	ascending := true
	for i, a := range extensions {
		if problem := checkName(a.Name); problem != "" {
			return &AttributeError{Name: a.Name, Value: a.Value, Problem: problem}
		}
		if problem := checkText(a.Value); problem != "" {
			return &AttributeError{Name: a.Name, Value: a.Value, Problem: problem}
		}
		ascending = ascending && (i == 0 || extensions[i-1].Name < a.Name)
	}
	if ascending { // what was decoded always is, so nobody pays for the search
		return nil
	}
	seen := make(map[string]bool, len(extensions))
	for _, a := range extensions {
		if seen[a.Name] {
			return &AttributeError{Name: a.Name, Value: a.Value, Problem: "is a second value of this attribute"}
		}
		seen[a.Name] = true
	}
	return nil
}

// checkName says what is wrong with the name of an extension. The empty string means nothing.
func checkName(name string) string {
	var fields decoder
	switch {
	case name == "":
		return "has no name"
	case name == "data":
		return "has a name that is reserved for the payload"
	case fields.field(name) != nil:
		return "is not an extension: it has its own field"
	}
	for i := range len(name) {
		if c := name[i]; !isDigit(c) && (c < 'a' || c > 'z') {
			return "has a name that is not only of the letters a-z and the digits 0-9"
		}
	}
	return ""
}

// checkText says what is wrong with a string. The empty string means nothing.
func checkText(s string) string {
	for s != "" {
		if len(s) >= 8 && isPlainWord(s) {
			s = s[8:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			return "is not valid UTF-8"
		case r < 0x20, 0x7f <= r && r <= 0x9f:
			return "has a control character"
		case 0xfdd0 <= r && r <= 0xfdef, r&0xfffe == 0xfffe:
			return "has a code point that is not a character"
		}
		s = s[size:]
	}
	return ""
}

// isPlainWord reports whether the first eight bytes of s are printable ASCII. Almost all bytes of all attributes are, and looking at eight at a
// time saves a quarter of encoding: subtracting a space sets the highest bit of what is smaller, adding one that of DEL.
func isPlainWord(s string) bool {
	const each = 0x0101010101010101 // one in each byte
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	return (w|(w-' '*each)|(w+each))&(0x80*each) == 0
}

// isURIReference checks s against RFC 3986, section 4.1: its characters, its scheme, and where brackets and # may be.
func isURIReference(s string) bool {
	if schemeLen(s) < 0 {
		return false
	}
	rest, fragment, _ := strings.Cut(s, "#")
	path := rest[schemeLen(s):]
	if authority, found := strings.CutPrefix(path, "//"); found {
		end := strings.IndexAny(authority, "/?")
		if end < 0 {
			end = len(authority)
		}
		path = authority[end:]
		if !onlyURI(authority[:end], uriMarks+"[]") {
			return false
		}
	}
	return onlyURI(path, uriMarks) && onlyURI(fragment, uriMarks)
}

// schemeLen is the length of the scheme of a URI reference and its colon: 0 without one, -1 if there is one that can't be.
func schemeLen(s string) int {
	end := strings.IndexAny(s, ":/?#")
	if end < 0 || s[end] != ':' {
		return 0
	}
	for i := range end {
		c := s[i]
		if !isLetter(c) && (i == 0 || !isDigit(c) && strings.IndexByte("+-.", c) < 0) {
			return -1
		}
	}
	if end == 0 {
		return -1
	}
	return end + 1
}

// uriMarks are the marks that may stand anywhere in a URI; # and brackets have their places.
const uriMarks = "/-._~:?@!$&'()*+,;="

// onlyURI reports whether s has only letters, digits, percent-encoded bytes and the given marks.
func onlyURI(s, marks string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; isLetter(c) || isDigit(c) || strings.IndexByte(marks, c) >= 0 {
			continue
		}
		if _, ok := escapedByte(s[i:]); !ok {
			return false
		}
		i += 2
	}
	return true
}

// IsJSON reports whether a content type says that data is JSON: its subtype is json, or ends with +json.
func IsJSON(contentType string) bool {
	if contentType == JSON {
		return true
	}
	mediaType, _, _ := strings.Cut(contentType, ";")
	_, subtype, _ := strings.Cut(strings.TrimRight(mediaType, " \t"), "/")
	suffix := subtype[strings.LastIndexByte(subtype, '+')+1:]
	return strings.EqualFold(suffix, "json")
}

// isMediaType checks s against RFC 2046. Parameters are rare enough for the standard library's parser.
func isMediaType(s string) bool {
	if s == JSON {
		return true
	}
	mediaType, _, parameters := strings.Cut(s, ";")
	if parameters {
		if _, _, err := mime.ParseMediaType(s); err != nil {
			return false
		}
		mediaType = strings.TrimRight(mediaType, " \t")
	}
	kind, subtype, _ := strings.Cut(mediaType, "/")
	return isToken(kind) && isToken(subtype)
}

// ValidHeader checks a header that is no attribute, before it becomes one of [Event.Headers]. Only headers that pass arrive on
// every broker as they were: NATS, for one, replaces line breaks and trims white space without saying so. Names that begin with ce-, ce_ or
// nats-, and content-type, are taken, in upper and lower case.
func ValidHeader(name, value string) error {
	problem := ""
	switch {
	case !isToken(name):
		problem = "has a name that is not one word of ASCII letters, digits and the marks !#$%&'*+-.^_`|~"
	case hasPrefixFold(name, "ce-"), hasPrefixFold(name, "ce_"), hasPrefixFold(name, "nats-"), strings.EqualFold(name, contentType):
		problem = "has a name that is reserved"
	case strings.HasPrefix(value, " ") || strings.HasSuffix(value, " "):
		problem = "begins or ends with a space"
	default:
		problem = checkText(value)
	}
	if problem == "" {
		return nil
	}
	return fmt.Errorf("cloudevents: header %q %s", name, problem)
}

// checkHeaders finds headers that would be read as attributes.
func checkHeaders(headers []broker.Header) error {
	i := slices.IndexFunc(headers, func(h broker.Header) bool { return isEnvelope(h.Name) })
	if i < 0 {
		return nil
	}
	return fmt.Errorf("cloudevents: header %q has a name that is reserved", headers[i].Name)
}

func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// escapedByte is the byte that the %xx at the beginning of s stands for, if there is one.
func escapedByte(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	high, ok1 := unhex(s[1])
	low, ok2 := unhex(s[2])
	return high<<4 | low, ok1 && ok2
}

// unhex is the value of a hexadecimal digit.
func unhex(c byte) (byte, bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	default:
		return 0, false
	}
}
