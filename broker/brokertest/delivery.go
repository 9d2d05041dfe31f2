package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidings-go/tidings/broker"
)

func deliveryScenarios() []scenario {
	return []scenario{
		{name: "a record arrives with its key, ID, headers, value, place and time", run: arrivesWhole},
		{name: "headers arrive as they were, whatever they hold", run: headersSurvive},
		{name: "a header with control characters is carried unchanged or refused", run: headersAreNotTorn},
		{name: "empty and missing values arrive empty, binary ones unchanged", run: valuesSurvive},
		{name: "done is called once for each record and tells where it is", run: receiptsAreTrue},
		{name: "what belongs to one reader may be changed without another seeing it", run: readersShareNothing},
		{name: "a repeated ID does no harm, and another topic's is not a repetition", run: repeatedIDs},
	}
}

func arrivesWhole(k *kit) {
	b := k.open()
	topic := k.topic(b, 4)
	sent := broker.Record{
		Topic: topic, Key: "tenant|booking 7 ž", ID: "/tickets/0198c0de", Value: []byte(`{"seats":2}`),
		Headers: []broker.Header{
			{Name: "ce-specversion", Value: "1.0"},
			{Name: "ce-type", Value: "tickets.BookingMade.v1"},
			{Name: "ce-source", Value: "/tickets"},
			{Name: "content-type", Value: "application/json"},
		},
	}
	before := time.Now()
	receipt := k.publish(b, sent)[0]
	var box inbox
	k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	k.eventually("the record arrives", func() bool { return box.len() > 0 })

	got := box.all()[0]
	if got.Topic != sent.Topic || got.Key != sent.Key || got.ID != sent.ID || !bytes.Equal(got.Value, sent.Value) {
		k.Errorf("sent %+v, got %+v", sent, got.Record)
	}
	k.compareHeaders(sent.Headers, got.Headers)
	if at := (broker.Receipt{Topic: got.Topic, Partition: got.Partition, Sequence: got.Sequence}); at != receipt {
		k.Errorf("the receipt says %+v, the delivery %+v", receipt, at)
	}
	const skew = time.Minute // Clocks of other machines differ.
	if got.Time.Before(before.Add(-skew)) || got.Time.After(time.Now().Add(skew)) {
		k.Errorf("delivery's time is %s; the record was published at %s", got.Time, before)
	}
}

// headerSets are headers that translations to a protocol get wrong.
func headerSets() [][]broker.Header {
	many := make([]broker.Header, 100)
	for i := range many {
		many[i] = broker.Header{Name: fmt.Sprintf("x-number-%03d", i), Value: strings.Repeat("v", i)}
	}
	return [][]broker.Header{
		nil,
		{{Name: "x-empty", Value: ""}},
		{{Name: "x-spaces", Value: "  two before and one after "}, {Name: "x-space", Value: " "}},
		{{Name: "x-percent", Value: "100%"}, {Name: "x-encoded", Value: "%41%20%zz"}},
		{{Name: "x-unicode", Value: "Žluťoučký kůň 🐎 日本語"}, {Name: "ce-subject", Value: "Příliš žluťoučký 🐎"}},
		{{Name: "x-quotes", Value: `say "hello" \ 'there'`}, {Name: "ce-quoted", Value: `a "quoted" word`}},
		{{Name: "x-list", Value: "a=b; c, d: e"}, {Name: "x-colon", Value: ":"}},
		{{Name: "x-repeated", Value: "first"}, {Name: "x-repeated", Value: "second"}, {Name: "x-repeated", Value: "first"}},
		{{Name: "X-Mixed-Case", Value: "Kept"}, {Name: "x_underscore.dot", Value: "kept"}},
		{{Name: "content-type", Value: "application/json; charset=utf-8"}, {Name: "ce-datacontenttype", Value: "text/plain"}},
		{{Name: "ce-time", Value: "2026-03-01T12:00:00.000000001Z"}, {Name: "ce-traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
		{{Name: "x-long", Value: strings.Repeat("long ", 1000)}},
		many,
	}
}

func headersSurvive(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	sets := headerSets()
	records := make([]broker.Record, len(sets))
	for i, headers := range sets {
		records[i] = broker.Record{Topic: topic, Key: "key", Headers: headers, Value: []byte{byte(i)}}
	}
	k.publish(b, records...)
	var box inbox
	k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	k.eventually("all records arrive", func() bool { return box.len() >= len(sets) })
	for _, d := range box.all() {
		k.compareHeaders(sets[d.Value[0]], d.Headers)
	}
}

// compareHeaders allows another order of names, but not of the values of one name: some protocols keep headers in a map.
func (k *kit) compareHeaders(sent, got []broker.Header) {
	k.Helper()
	a, b := byName(sent), byName(got)
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if !slices.Equal(a[name], b[name]) {
			k.Errorf("header %q was sent as %q and arrived as %q", name, a[name], b[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[name]; !ok {
			k.Errorf("header %q: %q was added on the way", name, b[name])
		}
	}
}

func byName(headers []broker.Header) map[string][]string {
	m := make(map[string][]string)
	for _, h := range headers {
		m[h.Name] = append(m[h.Name], h.Value)
	}
	return m
}

func headersAreNotTorn(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	nasty := []string{"a\r\nx-injected: 1", "line\nbreak", "nul\x00", "bell\a", "tab\t", "\r"}
	stored := make(map[string]bool)
	for _, value := range nasty {
		for _, name := range []string{"ce-subject", "x-any"} {
			record := broker.Record{Topic: topic, Headers: []broker.Header{{Name: name, Value: value}}, Value: []byte(value)}
			o := k.tryPublish(b, record)[0]
			if o.err != nil && !errors.Is(o.err, broker.ErrInvalid) {
				k.Errorf("header %s: %q is refused with %q, which is not ErrInvalid", name, value, o.err)
			}
			if o.err == nil {
				stored[name+value] = true
			}
		}
	}
	k.publish(b, broker.Record{Topic: topic, Value: []byte("end")})
	var box inbox
	k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	k.eventually("all records arrive", func() bool { return box.len() > len(stored) })
	for _, d := range box.all() {
		if len(d.Headers) > 1 || len(d.Headers) == 1 && d.Headers[0].Value != string(d.Value) {
			k.Errorf("header value %q arrived as %q", d.Value, d.Headers)
		}
	}
}

func valuesSurvive(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	sent := [][]byte{nil, {}, {0}, []byte("\r\n"), binary, []byte(" ")}
	for _, value := range sent {
		k.publish(b, broker.Record{Topic: topic, Key: "key", Value: value})
	}
	var box inbox
	k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	k.eventually("all records arrive", func() bool { return box.len() >= len(sent) })
	for i, d := range box.all() {
		if !bytes.Equal(d.Value, sent[i]) {
			k.Errorf("value %q arrived as %q", sent[i], d.Value)
		}
	}
}

func receiptsAreTrue(k *kit) {
	b := k.open()
	topic := k.topic(b, 4)
	const calls, each = 10, 50
	places := make(map[broker.Receipt]string)
	last := make(map[int]uint64) // by partition
	for c := range calls {
		records := make([]broker.Record, each)
		for i := range records {
			records[i] = broker.Record{Topic: topic, Key: fmt.Sprint("key", i%7), Value: fmt.Append(nil, c, "/", i)}
		}
		highest := make(map[int]uint64)
		for i, r := range k.publish(b, records...) {
			if r.Topic != topic || r.Partition < 0 || r.Partition >= 4 {
				k.Errorf("receipt %+v: there is no such place", r)
			}
			if r.Sequence <= last[r.Partition] {
				k.Errorf("partition %d: sequence %d after %d", r.Partition, r.Sequence, last[r.Partition])
			}
			highest[r.Partition] = max(highest[r.Partition], r.Sequence)
			places[r] = string(records[i].Value)
		}
		maps.Copy(last, highest)
	}
	if len(places) != calls*each {
		k.Errorf("%d records are in %d places", calls*each, len(places))
	}
	var box inbox
	k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	k.eventually("all records arrive", func() bool { return box.len() >= calls*each })
	for _, d := range box.all() {
		at := broker.Receipt{Topic: d.Topic, Partition: d.Partition, Sequence: d.Sequence}
		if places[at] != string(d.Value) {
			k.Errorf("%+v holds %q; the receipt was for %q", at, d.Value, places[at])
		}
	}
}

func readersShareNothing(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	record := broker.Record{Topic: topic, Value: []byte("value"), Headers: []broker.Header{{Name: "x-header", Value: "header"}}}
	k.publish(b, record)
	copy(record.Value, "xxxxx")
	record.Headers[0].Value = "xxxxxx"
	for range 2 {
		reader := k.grab(b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
		grip := reader.next()
		got := grip.read(1)[0]
		if h, _ := got.Header("x-header"); string(got.Value) != "value" || h != "header" {
			k.Errorf("the record was changed by somebody else: value %q, header %q", got.Value, h)
		}
		copy(got.Value, "yyyyy")
		got.Headers[0].Value = "yyyyyy"
		grip.giveBack()
		reader.stop()
	}
}

func repeatedIDs(k *kit) {
	b := k.open()
	here, there := k.topic(b, 2), k.topic(b, 2)
	record := func(topic, id, value string) broker.Record {
		return broker.Record{Topic: topic, Key: "key", ID: id, Value: []byte(value)}
	}
	for _, r := range []broker.Record{
		record(here, "one", "1"), record(here, "one", "1"), record(here, "two", "2"), record(here, "", "3"), record(here, "", "3"),
		record(there, "one", "1"), record(there, "two", "2"), record(here, "one", "1"),
	} {
		k.publish(b, r)
	}
	var box, other inbox
	group := k.unique("group")
	k.consumeInto(&box, b, broker.Reader{Group: group, Topics: []string{here}})
	k.consumeInto(&other, b, broker.Reader{Group: group + "-other", Topics: []string{there}})
	k.publish(b, record(here, "", "end"), record(there, "", "end"))
	k.eventually("both topics are read", func() bool {
		return slices.Contains(box.values(), "end") && slices.Contains(other.values(), "end")
	})
	// A repetition may be dropped; where it is not, it comes later. The first occurrences are the same in any case.
	counts := make(map[string]int)
	for _, v := range box.values() {
		counts[v]++
	}
	if counts["1"] < 1 || counts["1"] > 3 || counts["2"] != 1 || counts["3"] != 2 {
		k.Errorf("published 1 up to three times, 2 once and 3 twice without an ID; got %q", box.values())
	}
	if got := other.values(); !slices.Equal(got, []string{"1", "2", "end"}) {
		k.Errorf("on another topic the same IDs are other records: got %q", got)
	}
}
