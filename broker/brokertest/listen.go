package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tidings-go/tidings/broker"
)

func listenScenarios() []scenario {
	return []scenario{
		{name: "every listener gets every record, durable or live, with its headers", run: broadcast},
		{name: "one listener of a queue group gets each record", run: queueGroup},
		{name: "live records are never seen by a group", run: liveIsNotDurable},
		{name: "live records reach nobody when nobody listens, and that is no error", run: liveToNobody},
		{name: "a listener that is too slow holds up nobody", run: slowListener},
		{name: "a live record that asks for an answer finds a listener, or says at once that nobody listens", run: ask},
		{name: "a live record that asks for an answer is not lost when a listener ends while others go on", run: askWhileListenersEnd},
	}
}

// ear is a listener's collection.
type ear struct {
	mu      sync.Mutex // guards what follows
	records []broker.Record
	probes  int
}

// probe is the value of records that are only sent to find out who listens by now.
var probe = []byte("probe")

func (e *ear) hear(r broker.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if bytes.Equal(r.Value, probe) {
		e.probes++
		return
	}
	e.records = append(e.records, r)
}

func (e *ear) all() []broker.Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.records)
}

func (e *ear) hears() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.probes > 0
}

// listen runs Listen until the scenario ends. The ear may not hear yet when it returns: see probeUntil.
func (k *kit) listen(e *ear, b broker.Broker, l broker.Listener) *call {
	k.Helper()
	ctx, cancel := context.WithCancel(k.Context())
	return k.start(cancel, func() error { return b.Listen(ctx, l, e.hear) })
}

// probeUntil sends live probes to topic until all listeners have heard one.
func (k *kit) probeUntil(b broker.Broker, topic string, ears ...*ear) {
	k.Helper()
	k.eventually("all listeners hear", func() bool {
		if err := b.Live(k.Context(), []broker.Record{{Topic: topic, Value: probe}}); err != nil {
			k.Fatalf("send live: %v", err)
		}
		return !slices.ContainsFunc(ears, func(e *ear) bool { return !e.hears() })
	})
}

// sendBoth sends n durable and n live records with different values, of a few keys: where partitions are shared, not records, one key has one listener.
func (k *kit) sendBoth(b broker.Broker, topic string, n int) (values []string) {
	k.Helper()
	for i := range n {
		record := func(kind string) broker.Record {
			value := fmt.Sprint(kind, i)
			values = append(values, value)
			return broker.Record{
				Topic: topic, Key: "key " + strconv.Itoa(i%7), ID: value, Value: []byte(value),
				Headers: []broker.Header{{Name: "ce-subject", Value: "100% žluť " + value}},
			}
		}
		k.publish(b, record("durable"))
		if err := b.Live(k.Context(), []broker.Record{record("live")}); err != nil {
			k.Fatalf("send live: %v", err)
		}
	}
	slices.Sort(values)
	return values
}

func heard(records []broker.Record) []string {
	values := make([]string, len(records))
	for i := range records {
		values[i] = string(records[i].Value)
	}
	slices.Sort(values)
	return values
}

func broadcast(k *kit) {
	b := k.open()
	topic, other := k.topic(b, 2), k.topic(b, 1)
	var ears [3]ear
	calls := []*call{
		k.listen(&ears[0], b, broker.Listener{Topics: []string{topic}}),
		k.listen(&ears[1], k.open(), broker.Listener{Topics: []string{other, topic}}),
		k.listen(&ears[2], k.open(), broker.Listener{Topics: []string{topic}, Group: k.unique("queue")}),
	}
	k.probeUntil(b, topic, &ears[0], &ears[1], &ears[2])
	k.publish(b, broker.Record{Topic: other, Value: []byte("elsewhere")})
	want := k.sendBoth(b, topic, 20)
	withOther := slices.Sorted(slices.Values(append([]string{"elsewhere"}, want...)))
	for i, want := range [][]string{want, withOther, want} {
		k.eventually(fmt.Sprintf("listener %d hears all", i), func() bool { return len(ears[i].all()) >= len(want) })
		if got := heard(ears[i].all()); !slices.Equal(got, want) {
			k.Errorf("listener %d was to hear %q, heard %q", i, want, got)
		}
	}
	for _, r := range ears[0].all() {
		if h, _ := r.Header("ce-subject"); h != "100% žluť "+string(r.Value) || r.Topic != topic || !strings.HasPrefix(r.Key, "key ") {
			k.Errorf("record %q arrived with topic %q, key %q and subject %q", r.Value, r.Topic, r.Key, h)
		}
	}
	for _, c := range calls {
		c.stop()
	}
}

func queueGroup(k *kit) {
	b := k.open()
	topic := k.topic(b, 2)
	var ears [2]ear
	listener := broker.Listener{Topics: []string{topic}, Group: k.unique("queue")}
	k.listen(&ears[0], b, listener)
	k.listen(&ears[1], k.open(), listener)
	k.probeUntil(b, topic, &ears[0], &ears[1])
	want := k.sendBoth(b, topic, 50)
	together := func() []string { return heard(append(ears[0].all(), ears[1].all()...)) }
	k.eventually("the listeners hear all", func() bool { return len(together()) >= len(want) })
	if got := together(); !slices.Equal(got, want) {
		k.Errorf("the group was to hear %q, heard %q", want, got)
	}
	if len(ears[0].all()) == 0 || len(ears[1].all()) == 0 {
		k.Errorf("of 100 records, one listener got %d and the other %d", len(ears[0].all()), len(ears[1].all()))
	}
}

func liveIsNotDurable(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	var box, later inbox
	var e ear
	k.listen(&e, b, broker.Listener{Topics: []string{topic}})
	k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	k.probeUntil(b, topic, &e)
	k.sendBoth(b, topic, 10)
	k.eventually("the listener hears all", func() bool { return len(e.all()) >= 20 })
	k.consumeInto(&later, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	k.sequence(b, topic, 1, 1)
	for _, x := range []*inbox{&box, &later} {
		k.eventually("the last record arrives", func() bool { return slices.Contains(x.values(), "1") })
		if got := x.values(); len(got) != 11 {
			k.Errorf("11 durable records were published; a group got %q", got)
		}
	}
}

func liveToNobody(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	if err := b.Live(k.patient(), make10(topic)); err != nil {
		k.Errorf("send live to nobody: %v", err)
	}
	if state := k.inspect(b, broker.Topic{Name: topic}); state.Messages != 0 {
		k.Errorf("live records were stored: %d", state.Messages)
	}
}

func slowListener(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	release := make(chan struct{})
	var slow, quick ear
	ctx, cancel := context.WithCancel(k.Context())
	call := k.start(cancel, func() error {
		return b.Listen(ctx, broker.Listener{Topics: []string{topic}}, func(r broker.Record) {
			slow.hear(r)
			if !bytes.Equal(r.Value, probe) {
				<-release
			}
		})
	})
	k.listen(&quick, k.open(), broker.Listener{Topics: []string{topic}})
	k.probeUntil(b, topic, &slow, &quick)
	var box inbox
	k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	const records = 3000
	for from := 1; from <= records; from += 100 {
		k.sequence(b, topic, from, from+99)
	}
	k.eventually("the group gets everything", func() bool { return box.len() >= records })
	k.eventually("the quick listener hears the last", func() bool {
		return slices.ContainsFunc(quick.all(), func(r broker.Record) bool { return string(r.Value) == strconv.Itoa(records) })
	})
	close(release)
	call.stop()
}

// ask also is for brokers that can't: those must say so, in the topic's Diff and when they are asked.
func ask(k *kit) {
	b := k.open()
	topic := broker.Topic{Name: k.unique("requests"), Live: true}
	question := broker.Record{Topic: topic.Name, Value: []byte("?"), Headers: []broker.Header{{Name: broker.ReplyTo, Value: "replies"}}}
	state := k.apply(b, topic)[0]
	if len(state.Diff) > 0 {
		if err := b.Live(k.patient(), []broker.Record{question}); err == nil {
			k.Errorf("the topic can't carry requests (%q), and takes one", state.Diff)
		}
		return
	}
	if err := b.Live(k.patient(), []broker.Record{question}); !errors.Is(err, broker.ErrNoListener) {
		k.Errorf("asked nobody: %v", err)
	}
	var ears [2]ear
	ready := make(chan struct{}, len(ears))
	l := broker.Listener{Topics: []string{topic.Name}, Group: "providers", Ready: func() { ready <- struct{}{} }}
	for i := range ears {
		client := k.open()
		ctx, cancel := context.WithCancel(k.Context())
		k.start(cancel, func() error { return client.Listen(ctx, l, ears[i].hear) })
	}
	k.eventually("both listen", func() bool { return len(ready) == len(ears) })
	const questions = 20
	for range questions {
		if err := b.Live(k.patient(), []broker.Record{question}); err != nil {
			k.Errorf("asked somebody: %v", err)
		}
	}
	k.eventually("every question is heard once", func() bool { return len(ears[0].all())+len(ears[1].all()) == questions })
	if r := append(ears[0].all(), ears[1].all()...)[0]; r.Topic != topic.Name || len(r.Headers) != 1 || r.Headers[0] != question.Headers[0] {
		k.Errorf("the question arrived as %+v", r)
	}
}
