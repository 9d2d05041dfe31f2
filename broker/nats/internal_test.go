//go:build unix

package nats

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
)

func names() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-zA-Z0-9_-]{1,4}(\.[a-zA-Z0-9_-]{1,4}){0,3}`)
}

func TestNoTwoTopicsOrGroupsShareANameOnTheServer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := names().Draw(t, "a"), names().Draw(t, "b")
		if checks.Name("topic", a) != nil || checks.Name("topic", b) != nil {
			t.Fatalf("%q or %q is refused", a, b)
		}
		if a != b && (streamName(a) == streamName(b) || topicSubjects(a) == topicSubjects(b) || liveSubject(a) == liveSubject(b)) {
			t.Fatalf("%q and %q meet", a, b)
		}
		if strings.Count(topicSubjects(a), ".") != 3 {
			t.Fatalf("%q has dots left: %s", a, topicSubjects(a))
		}
		p := rapid.IntRange(0, 20).Draw(t, "partition")
		q := rapid.IntRange(0, 20).Draw(t, "other partition")
		id := consumerID{rapid.Uint64().Draw(t, "epoch"), rapid.Uint64().Draw(t, "attempt")}
		got, ok := parseConsumer(consumerPrefix(b, q), id.name(consumerPrefix(a, p)))
		if ok != (a == b && p == q) || ok && got != id {
			t.Fatalf("the consumer of %s, partition %d, read as that of %s, partition %d: %v, %v", a, p, b, q, got, ok)
		}
	})
}

// A key's partition is a promise to every version of every service: these must never change.
func TestKeysKeepTheirPartition(t *testing.T) {
	for key, want := range map[string]int{"42": 3, "tenant|booking": 2, "ž": 2, "a": 4} {
		if got := partitionOf(key, 8); got != want {
			t.Errorf("key %q is in partition %d, and was in %d", key, got, want)
		}
	}
}

func records() *rapid.Generator[broker.Record] {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ a-zA-Z%~="]{0,6}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	return rapid.Custom(func(t *rapid.T) broker.Record {
		r := broker.Record{Topic: "t", Key: text.Draw(t, "key"), ID: text.Draw(t, "id"), Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value")}
		seen := map[string]bool{}
		for range rapid.IntRange(0, 5).Draw(t, "headers") {
			name := rapid.OneOf(text, rapid.SampledFrom([]string{
				"ce-type", "ce-partitionkey", "content-type", "ce-datacontenttype", "Nats-Msg-Id", "Nats-Rollup", "Tidings-Key", "X-Own", "Status", "Ce-Type", "Content-Type",
			})).Draw(t, "name")
			if !seen[name] {
				r.Headers = append(r.Headers, broker.Header{Name: name, Value: text.Draw(t, "value of header")})
			}
			seen[name] = true
		}
		return r
	})
}

// The way of the message over the wire is that of nats.go: what it writes, it reads.
func overTheWire(t *rapid.T, msg natsgo.Msg) *natsgo.Msg {
	var wire bytes.Buffer
	wire.WriteString("NATS/1.0\r\n")
	for name, values := range msg.Header {
		for _, value := range values {
			if strings.ContainsAny(name+value, "\r\n") {
				t.Fatalf("header %q: %q tears the message apart", name, value)
			}
			fmt.Fprintf(&wire, "%s: %s\r\n", name, value)
		}
	}
	wire.WriteString("\r\n")
	header, err := natsgo.DecodeHeadersMsg(wire.Bytes())
	if err != nil {
		t.Fatalf("%q can't be read: %v", wire.Bytes(), err)
	}
	return &natsgo.Msg{Header: header, Data: msg.Data}
}

func TestRecordsArriveAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := records().Draw(t, "record")
		msg, size := encode(&sent)
		if exact := msg.Size(); size < exact || size > exact+300 {
			t.Fatalf("the size is told as %d and is %d", size, exact)
		}
		got := decode("t", overTheWire(t, msg))
		slices.SortFunc(sent.Headers, func(a, b broker.Header) int { return strings.Compare(a.Name, b.Name) })
		slices.SortFunc(got.Headers, func(a, b broker.Header) int { return strings.Compare(a.Name, b.Name) })
		if got.Key != sent.Key || got.ID != sent.ID || !bytes.Equal(got.Value, sent.Value) || !slices.Equal(got.Headers, sent.Headers) {
			t.Fatalf("sent %+v\ngot  %+v", sent, got)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("NATS/1.0\r\nce-type: a\r\nTidings-Header: a=%zz\r\nTidings-Key: %\r\nNats-Msg-Id: ~=%4\r\n\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		header, err := natsgo.DecodeHeadersMsg(wire)
		if err != nil {
			return
		}
		r := decode("t", &natsgo.Msg{Header: header})
		again := decode("t", func() *natsgo.Msg { m, _ := encode(&r); return &m }())
		if again.Key != r.Key || again.ID != r.ID || len(again.Headers) != len(r.Headers) {
			t.Errorf("read %+v, and after writing that %+v", r, again)
		}
	})
}

func FuzzParsePlace(f *testing.F) {
	f.Add("$JS.ACK.stream.consumer.1.22.333.1700000000000000000.4")
	f.Add("$JS.ACK.hub.ACCHASH.stream.consumer.1.22.333.1700000000000000000.4.token")
	f.Add("$JS.ACK.hub.ACCHASH.stream.consumer.1.22.333.1700000000000000000.4")
	f.Fuzz(func(t *testing.T, reply string) {
		p, ok := parsePlace(reply)
		if !ok {
			return
		}
		again, ok := parsePlace((&feed{acks: p.acks}).ackSubject(p.stream, p.consumer))
		if !ok || again.stream != p.stream || again.consumer != p.consumer || again.acks != p.acks {
			t.Errorf("%q: %+v, then %+v", reply, p, again)
		}
	})
}

func TestParsePlaceReadsBothForms(t *testing.T) {
	for _, reply := range []string{
		"$JS.ACK.stream.consumer.1.22.333.1700000000000000000.4",
		"$JS.ACK.hub.ACCHASH.stream.consumer.1.22.333.1700000000000000000.4.token",
	} {
		p, ok := parsePlace(reply)
		if !ok || p.stream != 22 || p.consumer != 333 || p.time != 1700000000000000000 || p.pending != 4 || !strings.HasSuffix(p.acks, ".stream.consumer") {
			t.Errorf("%s: %+v, %v", reply, p, ok)
		}
	}
}
