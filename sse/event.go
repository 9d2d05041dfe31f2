package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"
)

// maxLine bounds a line that [Read] takes, so that a broken server can't fill the memory.
const maxLine = 1 << 20

// Event is one event on the wire.
type Event struct {
	// ID is what the client gives back when it reconnects.
	ID string
	// Name is the event's type; empty means "message".
	Name string
	Data []byte
}

// Read reads the events of a stream: the client's side, for programs and tests. It ends with the stream, or with its error. An event that
// is cut short by the end is not reported. As in browsers, an event that has no id of its own has that of the event before.
func Read(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		lines.Split(splitLines())
		var p parser
		for lines.Scan() {
			if e, ok := p.line(lines.Text()); ok && !yield(e, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Event{}, fmt.Errorf("sse: read: %w", err))
		}
	}
}

// parser gathers the lines of an event.
type parser struct {
	started bool
	id      string
	name    string
	data    []byte
	hasData bool
}

// line takes one line, and reports the event that it ends.
func (p *parser) line(line string) (Event, bool) {
	if !p.started {
		p.started = true
		line = strings.TrimPrefix(line, "\ufeff")
	}
	if line == "" {
		return p.end()
	}
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "event":
		p.name = value
	case "data":
		if p.hasData {
			p.data = append(p.data, '\n')
		}
		p.data, p.hasData = append(p.data, value...), true
	case "id":
		if !strings.Contains(value, "\x00") {
			p.id = value
		}
	}
	return Event{}, false
}

// end is the event that the lines so far make, if they have data.
func (p *parser) end() (Event, bool) {
	e := Event{ID: p.id, Name: p.name, Data: p.data}
	ok := len(p.data) > 0
	p.name, p.data, p.hasData = "", nil, false
	return e, ok
}

// splitLines splits at LF, CR and CRLF without waiting for what follows a CR.
func splitLines() bufio.SplitFunc {
	afterCR := false
	return func(data []byte, atEOF bool) (advance int, token []byte, err error) {
		if afterCR && len(data) > 0 {
			afterCR = false
			if data[0] == '\n' {
				return 1, nil, nil
			}
		}
		if i := bytes.IndexAny(data, "\r\n"); i >= 0 {
			afterCR = data[i] == '\r'
			return i + 1, data[:i], nil
		}
		if atEOF {
			return len(data), nil, nil // a line without an end belongs to an event without one
		}
		return 0, nil, nil
	}
}

// encode makes the event's frame, or says what is wrong with the event.
func encode(e Event) ([]byte, error) {
	switch {
	case strings.ContainsAny(e.ID, "\r\n\x00"):
		return nil, fmt.Errorf("sse: publish: id %q: line breaks and NUL are impossible", e.ID)
	case strings.ContainsAny(e.Name, "\r\n"):
		return nil, fmt.Errorf("sse: publish: event name %q: line breaks are impossible", e.Name)
	case len(e.Data) == 0:
		return nil, errors.New("sse: publish: the data is empty: browsers drop such events, send {} instead")
	case !utf8.Valid(e.Data) || !utf8.ValidString(e.ID) || !utf8.ValidString(e.Name):
		return nil, errors.New("sse: publish: the event is not UTF-8: encode bytes as base64")
	}
	return appendFrame(make([]byte, 0, len(e.ID)+len(e.Name)+len(e.Data)+32), e), nil
}

// appendFrame writes the event as the protocol wants it, with one data line for each line of data.
func appendFrame(dst []byte, e Event) []byte {
	if e.ID != "" {
		dst = append(append(append(dst, "id: "...), e.ID...), '\n')
	}
	if e.Name != "" {
		dst = append(append(append(dst, "event: "...), e.Name...), '\n')
	}
	data := bytes.ReplaceAll(e.Data, []byte("\r\n"), []byte("\n"))
	for line := range bytes.SplitSeq(bytes.ReplaceAll(data, []byte("\r"), []byte("\n")), []byte("\n")) {
		dst = append(append(append(dst, "data: "...), line...), '\n')
	}
	return append(dst, '\n')
}
