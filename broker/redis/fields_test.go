package redis_test

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/redis"
)

// records are records that publishing lets through.
func records() *rapid.Generator[broker.Record] {
	name := rapid.OneOf(rapid.SampledFrom([]string{"key", "id", "data", "header:", "header:key", "ce-partitionkey", "ce-id", "content-type", ""}), rapid.String())
	return rapid.Custom(func(t *rapid.T) broker.Record {
		r := broker.Record{Topic: "t", Key: rapid.String().Draw(t, "key"), ID: rapid.String().Draw(t, "id"), Value: []byte(rapid.String().Draw(t, "value"))}
		for range rapid.IntRange(0, 8).Draw(t, "headers") {
			r.Headers = append(r.Headers, broker.Header{Name: name.Draw(t, "name"), Value: rapid.String().Draw(t, "text")})
		}
		return r
	})
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := records().Draw(t, "record")
		same := func(got broker.Record) bool {
			return got.Key == r.Key && got.ID == r.ID && bytes.Equal(got.Value, r.Value) && slices.Equal(got.Headers, r.Headers) && got.Topic == r.Topic
		}
		if got := redis.RoundTrip(r); !same(got) {
			t.Errorf("in a stream %+v became %+v", r, got)
		}
		message, err := redis.EncodeLive(r)
		if err != nil {
			t.Fatal(err)
		}
		mark, got, err := redis.DecodeLive("t", message)
		if err != nil || mark != "m-1" || !same(got) {
			t.Errorf("live %+v became %+v with mark %q, %v", r, got, mark, err)
		}
	})
}

func TestSequencesGrowWithIDs(t *testing.T) {
	t.Parallel()
	got := redis.Sequences("1700000000000-0", "1700000000000-1", "1700000000001-0", "9999999999999999-0", "9999999999999999-1", "18446744073709551615-18446744073709551615")
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) || got[0] != 1700000000000<<20 {
		t.Errorf("sequences are %d", got)
	}
	if got = redis.Sequences("5-18446744073709551614", "5-18446744073709551615", "6-0", "7-0"); !slices.IsSorted(got) || got[3] != 7<<20 {
		t.Errorf("sequences are %d", got)
	}
}

func FuzzDecodeLive(f *testing.F) {
	message, err := redis.EncodeLive(broker.Record{Key: "k", Value: []byte("v"), Headers: []broker.Header{{Name: "ce-id", Value: "1"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(_ *testing.T, message []byte) { _, _, _ = redis.DecodeLive("t", message) })
}

func FuzzReply(f *testing.F) {
	const answer = "*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*4\r\n$3\r\nkey\r\n$1\r\nk\r\n$4\r\ndata\r\n$1\r\nv\r\n*2\r\n$3\r\n2-0\r\n*-1\r\n"
	got, err := redis.ReadStream([]byte(answer))
	want := []broker.Record{{Topic: "t", Key: "k", Value: []byte("v")}}
	if err != nil || len(got) != 2 || !reflect.DeepEqual(got[:1], want) {
		f.Fatalf("read %+v, %v", got, err)
	}
	f.Add([]byte(answer))
	f.Add([]byte("*3\r\n$3\r\n0-0\r\n*0\r\n*1\r\n$3\r\n1-1\r\n"))
	f.Add([]byte("*1\r\n*2\r\n$1\r\ns\r\n*1000000000\r\n"))
	f.Add([]byte("-NOGROUP no such group\r\n"))
	f.Add([]byte("$-1\r\n"))
	f.Fuzz(func(_ *testing.T, answer []byte) {
		_, _ = redis.ReadStream(answer)
		_, _ = redis.ReadClaimed(answer)
	})
}

func TestAnErrorOfTheServerIsNamed(t *testing.T) {
	t.Parallel()
	if _, err := redis.ReadStream([]byte("-NOGROUP no such group\r\n")); err == nil || !strings.Contains(err.Error(), "NOGROUP") {
		t.Errorf("read an error as %v", err)
	}
	if n, err := redis.ReadClaimed([]byte("*3\r\n$3\r\n0-0\r\n*0\r\n*1\r\n$3\r\n1-1\r\n")); n != 1 || err != nil {
		t.Errorf("%d entries were deleted, %v", n, err)
	}
}
