package cloudevents

import (
	"bytes"
	"fmt"
	"iter"
	"unicode/utf16"
	"unicode/utf8"
)

const jsonSpace = " \t\r\n"

// scanner walks over a JSON object without building anything. It knows the grammar of the object itself and of strings, which are what an
// envelope consists of; of other values it only finds the end.
type scanner struct {
	doc []byte
	at  int
	bad bool
}

// members ranges over the members of the object: name, unescaped, and value as it is in the document.
// [scanner.end] must be asked afterwards whether the range ended well.
func (s *scanner) members() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, raw []byte) bool) {
		s.bad = true // until its end has been seen
		if !s.next('{') {
			return
		}
		if s.next('}') {
			s.bad = false
			return
		}
		for {
			s.space()
			name, ok := unquote(s.text())
			if !ok || !s.next(':') {
				return
			}
			raw := s.value()
			if raw == nil || !yield(name, raw) {
				return
			}
			if s.next('}') {
				s.bad = false
				return
			}
			if !s.next(',') {
				return
			}
		}
	}
}

// end returns an error unless the object was complete and the document ends with it.
func (s *scanner) end() error {
	s.space()
	if s.bad || s.at != len(s.doc) {
		return fmt.Errorf("cloudevents: structured event is not a JSON object (at byte %d of %d)", s.at, len(s.doc))
	}
	return nil
}

func (s *scanner) space() {
	for s.at < len(s.doc) && isSpace(s.doc[s.at]) {
		s.at++
	}
}

// next skips white space and then c, if it is there.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.at == len(s.doc) || s.doc[s.at] != c {
		return false
	}
	s.at++
	return true
}

// value returns the value that comes next, or nil.
func (s *scanner) value() []byte {
	s.space()
	start := s.at
	if start == len(s.doc) {
		return nil
	}
	switch s.doc[start] {
	case '"':
		return s.text()
	case '{', '[':
		return s.nested()
	}
	for s.at < len(s.doc) && !isDelimiter(s.doc[s.at]) {
		s.at++
	}
	if s.at == start {
		return nil
	}
	return s.doc[start:s.at:s.at]
}

// text returns the string that comes next, with its quotes, or nil.
func (s *scanner) text() []byte {
	start := s.at
	if start == len(s.doc) || s.doc[start] != '"' {
		return nil
	}
	for i := start + 1; i < len(s.doc); i++ {
		switch s.doc[i] {
		case '"':
			s.at = i + 1
			return s.doc[start:s.at:s.at]
		case '\\':
			i++
		}
	}
	return nil
}

// nested returns the object or array that comes next, or nil.
func (s *scanner) nested() []byte {
	start, depth := s.at, 0
	for s.at < len(s.doc) {
		switch s.doc[s.at] {
		case '"':
			if s.text() == nil {
				return nil
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.at++
		if depth == 0 {
			return s.doc[start:s.at:s.at]
		}
	}
	return nil
}

// peekMember returns the string that is called name in an object, if it has one. The object may be malformed behind it.
func peekMember(doc []byte, name string) (string, bool) {
	s := scanner{doc: doc}
	for member, raw := range s.members() {
		if string(member) == name && string(raw) != "null" {
			text, ok := unquote(raw)
			return string(text), ok
		}
	}
	return "", false
}

// hasSpecVersion tells an event from any other JSON object.
func hasSpecVersion(doc []byte) bool {
	_, found := peekMember(doc, "specversion")
	return found
}

// isObject reports whether a document that is JSON is an object.
func isObject(doc []byte) bool {
	doc = bytes.TrimLeft(doc, jsonSpace)
	return len(doc) > 0 && doc[0] == '{'
}

// unquote returns the characters of a JSON string that the scanner found. It shares raw's memory if nothing is escaped. Unlike encoding/json it refuses half a surrogate pair,
// which no string of ours can hold.
func unquote(raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return nil, false
	}
	raw = raw[1 : len(raw)-1 : len(raw)-1]
	plain := 0
	for plain < len(raw) && raw[plain] != '\\' {
		if raw[plain] < 0x20 {
			return nil, false
		}
		plain++
	}
	if plain == len(raw) {
		return raw, true
	}
	text := append(make([]byte, 0, len(raw)), raw[:plain]...)
	for i := plain; i < len(raw); {
		switch c := raw[i]; {
		case c < 0x20:
			return nil, false
		case c != '\\':
			text = append(text, c)
			i++
		default:
			r, size := unescape(raw[i:])
			if size == 0 {
				return nil, false
			}
			text = utf8.AppendRune(text, r)
			i += size
		}
	}
	return text, true
}

// unescape returns the character that an escape sequence stands for, and how long the sequence is: zero if it is none.
func unescape(s []byte) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r := codeUnit(s)
	switch {
	case r < 0:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, 6
	}
	if pair := utf16.DecodeRune(r, codeUnit(s[6:])); pair != utf8.RuneError {
		return pair, 12
	}
	return 0, 0
}

// codeUnit reads the \uXXXX at the beginning of s, or returns -1.
func codeUnit(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range s[2:6] {
		digit, ok := unhex(c)
		if !ok {
			return -1
		}
		r = r<<4 | rune(digit)
	}
	return r
}

// appendQuoted appends valid UTF-8 as a JSON string.
func appendQuoted[T string | []byte](b []byte, s T) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	written := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[written:i]...)
		written = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	b = append(b, s[written:]...)
	return append(b, '"')
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isDelimiter reports whether c ends a number, true, false or null.
func isDelimiter(c byte) bool {
	return isSpace(c) || c == ',' || c == '}' || c == ']' || c == '"' || c == ':'
}
