package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// line is one message as tail prints it.
type line struct {
	Topic         string          `json:"topic"`
	Partition     int             `json:"partition"`
	Sequence      uint64          `json:"sequence"`
	Stored        time.Time       `json:"stored"`
	Key           string          `json:"key,omitempty"`
	ID            string          `json:"id,omitempty"`
	Type          string          `json:"type,omitempty"`
	Source        string          `json:"source,omitempty"`
	Time          *time.Time      `json:"time,omitempty"`
	Subject       string          `json:"subject,omitempty"`
	CorrelationID string          `json:"correlation_id,omitempty"`
	CausationID   string          `json:"causation_id,omitempty"`
	ContentType   string          `json:"content_type,omitempty"`
	Data          json.RawMessage `json:"data,omitempty"`
	Text          string          `json:"text,omitempty"`
	Base64        []byte          `json:"base64,omitempty"`
	// Error is why the record is no event.
	Error string `json:"error,omitempty"`
}

// setData keeps a payload: as JSON if it is that, as text, or as bytes.
func (l *line) setData(data []byte) {
	switch {
	case len(data) == 0:
	case json.Valid(data):
		var compact bytes.Buffer
		if json.Compact(&compact, data) == nil {
			l.Data = compact.Bytes()
		}
	case utf8.Valid(data):
		l.Text = string(data)
	default:
		l.Base64 = data
	}
}

func (l *line) print(w io.Writer, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(l)
	}
	when := l.Stored
	if l.Time != nil {
		when = *l.Time
	}
	what := l.Type
	if l.Error != "" {
		what = "no event (" + l.Error + ")"
	}
	_, err := fmt.Fprintf(w, "%s %s/%d@%d %s key=%s id=%s %s\n",
		when.Format("2006-01-02T15:04:05.000Z"), l.Topic, l.Partition, l.Sequence, what, quoted(l.Key), l.ID, l.payload())
	return err
}

// payload is what follows on the line: nothing in it can break the line or the terminal.
func (l *line) payload() string {
	switch {
	case l.Data != nil:
		return string(l.Data)
	case l.Text != "":
		return strconv.Quote(l.Text)
	default:
		return fmt.Sprintf("%d bytes", len(l.Base64))
	}
}

// quoted quotes a key where it has something in it that would break the line.
func quoted(key string) string {
	if q := strconv.Quote(key); q != `"`+key+`"` || key == "" || bytes.ContainsRune([]byte(key), ' ') {
		return q
	}
	return key
}
