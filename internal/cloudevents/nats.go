package cloudevents

import "strings"

// natsContentType is no attribute in the NATS binding; it only announces structured mode.
const natsContentType = "Content-Type"

func toNATS(name, value string) (wireName, wireValue string) {
	switch {
	case name == contentType && isStructured(value):
		return natsContentType, value
	case name == contentType:
		return dataContentType, percentEncode(value)
	case strings.HasPrefix(name, "ce-"):
		return name, percentEncode(value)
	default:
		return name, value
	}
}

func fromNATS(wireName, wireValue string) (name, value string) {
	switch {
	case hasPrefixFold(wireName, "ce-"):
		name, value = strings.ToLower(wireName), percentDecode(unquoteHeader(wireValue))
		if name == dataContentType && !isStructured(value) {
			name = contentType
		}
		return name, value
	case !strings.EqualFold(wireName, natsContentType):
		return wireName, wireValue
	case isStructured(wireValue):
		return contentType, wireValue
	default:
		return natsContentType, wireValue // somebody's own header: in lower case it would be the attribute
	}
}

// percentEncode escapes each byte that the binding does not let stand for itself: all but printable ASCII, and the space, the quote and the percent sign.
func percentEncode(s string) string {
	first := 0
	for first < len(s) && isPlain(s[first]) {
		first++
	}
	if first == len(s) {
		return s
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s) + 2*(len(s)-first))
	b.WriteString(s[:first])
	for i := first; i < len(s); i++ {
		if c := s[i]; isPlain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&0xf])
		}
	}
	return b.String()
}

// percentDecode undoes one round of encoding. A percent sign without two hexadecimal digits stands for itself: the Go SDK sends values
// as they are. Bytes that are not UTF-8 are left for Decode to refuse.
func percentDecode(s string) string {
	first := strings.IndexByte(s, '%')
	if first < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:first])
	for i := first; i < len(s); i++ {
		if c, ok := escapedByte(s[i:]); ok {
			b.WriteByte(c)
			i += 2
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// unquoteHeader removes the quotes of a quoted string (RFC 7230, section 3.2.6), which older versions of the binding wrote.
// What is not one from end to end is returned as it is.
func unquoteHeader(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	inner := s[1 : len(s)-1]
	if !strings.ContainsAny(inner, `"\`) {
		return inner
	}
	var b strings.Builder
	b.Grow(len(inner))
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			return s // two quoted strings, say
		case '\\':
			if i++; i == len(inner) {
				return s // the last quote was escaped
			}
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}

// isPlain reports whether c stands for itself in a header value.
func isPlain(c byte) bool { return '!' <= c && c <= '~' && c != '"' && c != '%' }
