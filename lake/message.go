package lake

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-go/tidings"
)

// Message is a message in the lake.
type Message struct {
	tidings.Message
	// Position is its place in the lake. Positions grow, not necessarily by one.
	Position int64
	// StoredAt is when the lake stored it.
	StoredAt time.Time
}

const (
	columns = "position, id, source, type, subject, key, time, correlation_id, causation_id, trace_parent, trace_state, data_schema, " +
		"content_type, extensions, headers, data, stored_at"
	columnCount = 17
)

// insertStatement stores n messages, except those that the lake has.
func insertStatement(n int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO tidings_lake (" + columns + ") VALUES ")
	for i := range n * columnCount {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%columnCount == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	b.WriteString(") ON CONFLICT (source, id, type) DO NOTHING")
	return b.String()
}

// appendArgs appends the values of a message's columns.
func appendArgs(args []any, position int64, m *tidings.Message, now string) ([]any, error) {
	extensions, headers, err := encodeExtras(m)
	if err != nil {
		return nil, fmt.Errorf("lake: message %s of %s: %w", m.ID, m.Source, err)
	}
	data := m.Data
	if data == nil {
		data = []byte{}
	}
	return append(args, position, m.ID, m.Source, m.Type, m.Subject, m.Key, formatTime(m.Time), m.CorrelationID, m.CausationID,
		m.TraceParent, m.TraceState, m.DataSchema, m.ContentType, extensions, headers, data, now), nil
}

// scanner is *sql.Rows.
type scanner interface{ Scan(into ...any) error }

func scanMessage(row scanner) (Message, error) {
	var m Message
	var at, storedAt, extensions, headers string
	err := row.Scan(&m.Position, &m.ID, &m.Source, &m.Type, &m.Subject, &m.Key, &at, &m.CorrelationID, &m.CausationID,
		&m.TraceParent, &m.TraceState, &m.DataSchema, &m.ContentType, &extensions, &headers, &m.Data, &storedAt)
	if err != nil {
		return m, err
	}
	if m.Time, err = parseTime(at); err != nil {
		return m, fmt.Errorf("position %d: %w", m.Position, err)
	}
	if m.StoredAt, err = parseTime(storedAt); err != nil {
		return m, fmt.Errorf("position %d: %w", m.Position, err)
	}
	if err := decodeExtras(&m.Message, extensions, headers); err != nil {
		return m, fmt.Errorf("position %d: %w", m.Position, err)
	}
	return m, nil
}

// encodeExtras writes extensions as a JSON object, since their names are unique, and headers as a list of pairs.
func encodeExtras(m *tidings.Message) (extensions, headers string, err error) {
	object := make(map[string]string, len(m.Extensions))
	for _, e := range m.Extensions {
		object[e.Name] = e.Value
	}
	pairs := make([][2]string, len(m.Headers))
	for i, h := range m.Headers {
		pairs[i] = [2]string{h.Name, h.Value}
	}
	e, err := json.Marshal(object)
	if err != nil {
		return "", "", err
	}
	h, err := json.Marshal(pairs)
	return string(e), string(h), err
}

func decodeExtras(m *tidings.Message, extensions, headers string) error {
	var object map[string]string
	if err := json.Unmarshal([]byte(extensions), &object); err != nil {
		return fmt.Errorf("extensions: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		m.Extensions = append(m.Extensions, tidings.Header{Name: name, Value: object[name]})
	}
	var pairs [][2]string
	if err := json.Unmarshal([]byte(headers), &pairs); err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	for _, p := range pairs {
		m.Headers = append(m.Headers, tidings.Header{Name: p[0], Value: p[1]})
	}
	return nil
}

// timeLayout sorts as text.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// formatTime writes a time in UTC; no time is an empty text.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(timeLayout, s)
}
