package postgres

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"

	"github.com/tidings-go/tidings/store"
)

// lanes is how many lanes a queue has. It can never change: rows of one key would come from two lanes while the old ones are there.
const lanes = 16

// laneOf is the lane of a row. Rows of one topic and key have one lane; rows without a key are spread by what identifies them.
func laneOf(r *store.Row) int16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(r.Record.Topic)) // A hash takes everything.
	_, _ = h.Write([]byte{0})
	switch {
	case r.Record.Key != "":
		_, _ = h.Write([]byte(r.Record.Key))
	case r.MessageID != "":
		_, _ = h.Write([]byte(r.MessageID))
	default:
		_, _ = h.Write([]byte(r.Record.ID))
	}
	return int16(h.Sum32() % lanes)
}

// encodeText writes any string so that a column of type text can hold it: as PostgreSQL's encode(…, 'escape') does, but that only
// what text can't hold is escaped, and the backslash.
func encodeText(s string) string {
	if utf8.ValidString(s) && !strings.ContainsAny(s, "\x00\\") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case s[i] == '\\':
			b.WriteString(`\\`)
		case s[i] == 0, r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\%03o`, s[i])
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// decodeText is the inverse of encodeText. What encodeText doesn't write, because a person wrote it, stays as it is.
func decodeText(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		rest := s[i:]
		switch {
		case strings.HasPrefix(rest, `\\`):
			b.WriteByte('\\')
			i += 2
		case len(rest) >= 4 && rest[0] == '\\' && isOctal(rest[1], '3') && isOctal(rest[2], '7') && isOctal(rest[3], '7'):
			b.WriteByte((rest[1]-'0')<<6 | (rest[2]-'0')<<3 | (rest[3] - '0'))
			i += 4
		default:
			b.WriteByte(rest[0])
			i++
		}
	}
	return b.String()
}

func isOctal(c, highest byte) bool { return '0' <= c && c <= highest }
