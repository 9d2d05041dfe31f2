package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/tidings-go/tidings/broker"
)

func limitScenarios() []scenario {
	return []scenario{
		{name: "a record just under the limit passes", run: largestRecord, needs: []Need{NeedLimit}},
		{name: "a record above the limit is ErrTooLarge and does not disturb its neighbours", run: tooLarge, needs: []Need{NeedLimit}},
		{name: "a record of 10 MB passes, or is ErrTooLarge where the server takes less, with an error that says how much it takes", run: tenMegabytes, needs: []Need{NeedLimit}},
		{name: "publishing to an unknown topic is ErrUnknownTopic", run: publishUnknown},
		{name: "consuming an unknown topic is ErrUnknownTopic", run: consumeUnknown},
		{name: "an impossible topic name is ErrInvalid and does not disturb its neighbours", run: invalidNames},
	}
}

// slack is for the key, the headers and the protocol.
const slack = 4 << 10

func largestRecord(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	value := bytes.Repeat([]byte("0123456789abcdef"), k.MaxRecordBytes/16+1)[:k.MaxRecordBytes-slack]
	k.publish(b, broker.Record{Topic: topic, Key: "key", Value: value}, broker.Record{Topic: topic, Key: "key", Value: []byte("small")})
	var box inbox
	k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	k.eventually("both records arrive", func() bool { return box.len() >= 2 })
	if got := box.all()[0].Value; !bytes.Equal(got, value) {
		k.Errorf("a value of %d bytes arrived changed, with %d bytes", len(value), len(got))
	}
}

func tooLarge(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	record := func(value []byte) broker.Record { return broker.Record{Topic: topic, Key: "key", Value: value} }
	outcomes := k.tryPublish(b, record([]byte("before")), record(make([]byte, k.MaxRecordBytes+1)), record([]byte("after")))
	if err := outcomes[1].err; !errors.Is(err, broker.ErrTooLarge) || !broker.Permanent(err) {
		k.Errorf("a record above the limit of %d bytes gives %v", k.MaxRecordBytes, err)
	}
	k.neighboursArrive(b, topic, outcomes[0], outcomes[2])
}

func tenMegabytes(k *kit) {
	const size = 10_000_000
	b := k.open()
	topic := k.topic(b, 1)
	value := bytes.Repeat([]byte("0123456789"), size/10)
	o := k.tryPublish(b, broker.Record{Topic: topic, Key: "key", Value: value})[0]
	if k.MaxRecordBytes < size {
		if !errors.Is(o.err, broker.ErrTooLarge) || !strings.Contains(o.err.Error(), topic) || !numeral.MatchString(o.err.Error()) {
			k.Errorf("a record of 10 MB, where %d bytes are allowed, gives %v", k.MaxRecordBytes, o.err)
		}
		k.Logf("the error is: %v", o.err)
		return
	}
	if o.err != nil {
		k.Fatalf("a record of 10 MB, where %d bytes are allowed, gives %v", k.MaxRecordBytes, o.err)
	}
	var box inbox
	k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	k.eventually("the record arrives", func() bool { return box.len() > 0 })
	if got := box.all()[0].Value; !bytes.Equal(got, value) {
		k.Errorf("a value of %d bytes arrived changed, with %d bytes", len(value), len(got))
	}
}

// numeral is the limit in an error, or at least the size.
var numeral = regexp.MustCompile(`[0-9]{6}`)

// neighboursArrive checks that "before" and "after" were stored, and nothing else.
func (k *kit) neighboursArrive(b broker.Broker, topic string, before, after outcome) {
	k.Helper()
	if before.err != nil || after.err != nil {
		k.Errorf("the neighbours of a bad record failed too: %v, %v", before.err, after.err)
	}
	var box inbox
	k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	k.publish(b, broker.Record{Topic: topic, Key: "key", Value: []byte("end")})
	k.eventually("the records arrive", func() bool { return strings.HasSuffix(strings.Join(box.values(), " "), "end") })
	if got := strings.Join(box.values(), " "); got != "before after end" {
		k.Errorf("published before, a bad record, after, end; got %s", got)
	}
}

func publishUnknown(k *kit) {
	b := k.open()
	topic, unknown := k.topic(b, 1), k.unique("unknown")
	outcomes := k.tryPublish(b,
		broker.Record{Topic: topic, Key: "key", Value: []byte("before")},
		broker.Record{Topic: unknown, Key: "key", Value: []byte("lost")},
		broker.Record{Topic: topic, Key: "key", Value: []byte("after")})
	err := outcomes[1].err
	if !errors.Is(err, broker.ErrUnknownTopic) {
		k.Errorf("publishing to an unknown topic gives %v", err)
	}
	if err != nil && !strings.Contains(err.Error(), unknown) {
		k.Errorf("the error does not name the topic %s: %v", unknown, err)
	}
	k.neighboursArrive(b, topic, outcomes[0], outcomes[2])
}

func consumeUnknown(k *kit) {
	b := k.open()
	topic, unknown := k.topic(b, 1), k.unique("unknown")
	for _, group := range []string{k.unique("group"), ""} {
		err := b.Consume(k.patient(), broker.Reader{Group: group, Topics: []string{topic, unknown}}, func(context.Context, broker.Partition) {})
		if !errors.Is(err, broker.ErrUnknownTopic) {
			k.Errorf("consuming an unknown topic with group %q gives %v", group, err)
		}
		if err != nil && !strings.Contains(err.Error(), unknown) {
			k.Errorf("the error does not name the topic %s: %v", unknown, err)
		}
	}
}

func invalidNames(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	for _, name := range []string{"", "two words", "a/b", "žluťoučký", "a*", "a>b", "line\nbreak", strings.Repeat("n", 201)} {
		o := k.tryPublish(b, broker.Record{Topic: name, Value: []byte("x")})[0]
		if !errors.Is(o.err, broker.ErrInvalid) {
			k.Errorf("publishing to topic %q gives %v", name, o.err)
		}
		if _, err := b.Topics(k.patient(), broker.Apply, broker.Topic{Name: name}); !errors.Is(err, broker.ErrInvalid) {
			k.Errorf("applying topic %q gives %v", name, err)
		}
	}
	outcomes := k.tryPublish(b,
		broker.Record{Topic: topic, Key: "key", Value: []byte("before")},
		broker.Record{Topic: "a b", Key: "key", Value: []byte("lost")},
		broker.Record{Topic: topic, Key: "key", Value: []byte("after")})
	k.neighboursArrive(b, topic, outcomes[0], outcomes[2])
	for _, name := range []string{k.unique("A.b_c-") + ".9", strings.Repeat("n", 200-len(k.name)) + k.name} {
		k.apply(b, broker.Topic{Name: name, Partitions: 1})
		k.publish(b, broker.Record{Topic: name, Value: []byte(fmt.Sprint("to ", name))})
	}
}
