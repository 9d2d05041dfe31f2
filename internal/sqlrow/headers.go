// Package sqlrow is what stores over SQL have in common: how a row's headers become bytes, and how rows are listed page by page.
package sqlrow

import (
	"encoding/binary"
	"errors"

	"github.com/tidings-go/tidings/broker"
)

// ErrHeaders says that the bytes of a row's headers are not what EncodeHeaders writes.
var ErrHeaders = errors.New("headers are damaged")

// EncodeHeaders writes names and values one after the other, each with its length in front. JSON would not do: it changes what is not UTF-8.
func EncodeHeaders(headers []broker.Header) []byte {
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

// DecodeHeaders is the inverse of EncodeHeaders.
func DecodeHeaders(b []byte) ([]broker.Header, error) {
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
		return "", nil, ErrHeaders
	}
	end := n + int(size) // It fits: size is at most len(b).
	return string(b[n:end]), b[end:], nil
}
