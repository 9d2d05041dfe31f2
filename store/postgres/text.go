package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"

	"github.com/tidings-go/tidings/broker"
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

// errHeaders says that the bytes of a row's headers are not what encodeHeaders writes.
var errHeaders = errors.New("headers are damaged")

// encodeHeaders writes names and values one after the other, each with its length in front. JSON would not do: it changes what is not UTF-8.
func encodeHeaders(headers []broker.Header) []byte {
	size := 0
	for _, h := range headers {
		size += len(h.Name) + len(h.Value) + 2*binary.MaxVarintLen32
	}
	b := make([]byte, 0, size)
	for _, h := range headers {
		b = append(binary.AppendUvarint(b, uint64(len(h.Name))), h.Name...)
		b = append(binary.AppendUvarint(b, uint64(len(h.Value))), h.Value...)
	}
	return b
}

// decodeHeaders is the inverse of encodeHeaders.
func decodeHeaders(b []byte) ([]broker.Header, error) {
	var headers []broker.Header
	for len(b) > 0 {
		var h broker.Header
		var err error
		if h.Name, b, err = cutString(b); err != nil {
			return nil, err
		}
		if h.Value, b, err = cutString(b); err != nil {
			return nil, err
		}
		headers = append(headers, h)
	}
	return headers, nil
}

// cutString splits b after its first string.
func cutString(b []byte) (first string, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return "", nil, errHeaders
	}
	end := n + int(size) // It fits: size is at most len(b).
	return string(b[n:end]), b[end:], nil
}
