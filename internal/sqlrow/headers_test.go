package sqlrow

import (
	"slices"
	"strings"
	"testing"

	"github.com/tidings-go/tidings/broker"
)

func TestHeadersRoundTrip(t *testing.T) {
	for _, headers := range [][]broker.Header{
		nil,
		{{}},
		{{Name: "a", Value: "1"}, {Name: "a", Value: "1"}, {Name: "b"}},
		{{Name: "not \xff UTF-8", Value: "\x00"}, {Name: strings.Repeat("n", 300), Value: strings.Repeat("v", 70_000)}},
	} {
		got, err := DecodeHeaders(EncodeHeaders(headers))
		if err != nil || !slices.Equal(got, headers) {
			t.Errorf("%v came back as %v, %v", headers, got, err)
		}
	}
}

func TestDamagedHeadersAreAnError(t *testing.T) {
	whole := EncodeHeaders([]broker.Header{{Name: "name", Value: "value"}})
	for end := 1; end < len(whole); end++ {
		if got, err := DecodeHeaders(whole[:end]); err == nil {
			t.Errorf("%q was read as %v", whole[:end], got)
		}
	}
}

func FuzzDecodeHeaders(f *testing.F) {
	f.Add([]byte{})
	f.Add(EncodeHeaders([]broker.Header{{Name: "ce-id", Value: "1"}, {Name: "", Value: ""}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		headers, err := DecodeHeaders(b)
		if err != nil {
			return
		}
		again, err := DecodeHeaders(EncodeHeaders(headers))
		if err != nil || !slices.Equal(again, headers) {
			t.Errorf("%q was read as %v and then as %v, %v", b, headers, again, err)
		}
	})
}
