package brokertest

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

func readerScenarios() []scenario {
	return []scenario{
		{name: "Fetch respects its limits", run: fetchLimits},
		{name: "Fetch ends with its context, and the partition goes on", run: fetchContext},
		{name: "when the context of Consume ends, Fetch returns io.EOF and the partition lives until it is given back", run: drains},
		{name: "a reader without a group gets everything from the earliest, each time", run: withoutGroup},
		{name: "a reader to the end stops at what was the end, and Consume returns", run: toEnd},
		{name: "a reader from the latest sees only what comes later", run: fromLatest},
		{name: "a reader from a time sees what was published since", run: fromTime},
		{name: "a position counts for more than where a group would begin", run: positionBeforeFrom},
	}
}

func fetchLimits(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	k.sequence(b, topic, 1, 20)
	big := make([]byte, 10_000)
	for range 20 {
		k.publish(b, broker.Record{Topic: topic, Key: "key", Value: big})
	}
	grip := k.grab(b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}}).next()
	for left := 20; left > 0; {
		got, err := grip.p.Fetch(k.patient(), min(7, left), 1<<20)
		if err != nil || len(got) == 0 || len(got) > 7 {
			k.Fatalf("Fetch of at most 7: %d records, %v", len(got), err)
		}
		left -= len(got)
	}
	for left := 20; left > 0; {
		got, err := grip.p.Fetch(k.patient(), 100, 25_000)
		if err != nil || len(got) == 0 || len(got) > 5 { // "about" that size
			k.Fatalf("Fetch of at most 25,000 bytes: %d records of 10,000, %v", len(got), err)
		}
		left -= len(got)
	}
	k.publish(b, broker.Record{Topic: topic, Key: "key", Value: big})
	if got, err := grip.p.Fetch(k.patient(), 100, 1); err != nil || len(got) != 1 {
		k.Errorf("Fetch with room for less than one record must return one: %d, %v", len(got), err)
	}
	grip.giveBack()
}

func fetchContext(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	grip := k.grab(b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}}).next()
	ctx, cancel := context.WithTimeout(k.Context(), 20*time.Millisecond)
	defer cancel()
	if got, err := grip.p.Fetch(ctx, 1, 1); !errors.Is(err, context.DeadlineExceeded) {
		k.Errorf("Fetch from an empty partition until its context ended: %d records, %v", len(got), err)
	}
	k.sequence(b, topic, 1, 3)
	grip.expect(1, 3)
	grip.giveBack()
}

func drains(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.sequence(b, topic, 1, 5)
	call := k.grab(k.open(), reader)
	grip := call.next()
	got := grip.read(3)
	waiting := make(chan error, 1)
	idle := k.grab(b, broker.Reader{Group: k.unique("group"), Topics: []string{k.topic(b, 1)}})
	idleGrip := idle.next()
	go func() {
		_, err := idleGrip.p.Fetch(k.Context(), 1, 1)
		waiting <- err
	}()

	idle.cancel()
	call.cancel()
	select {
	case err := <-waiting:
		if !errors.Is(err, io.EOF) {
			k.Errorf("a Fetch that waited returned %v, not io.EOF", err)
		}
	case <-k.after(k.patience):
		k.Fatalf("a Fetch that waited did not return within %s", k.patience)
	}
	idleGrip.giveBack()
	idle.stop()
	if deliveries, err := grip.p.Fetch(k.patient(), 10, 1<<20); !errors.Is(err, io.EOF) {
		k.Errorf("Fetch returned %d records and %v, not io.EOF", len(deliveries), err)
	}
	if err := grip.ctx.Err(); err != nil {
		k.Errorf("the partition's context ended with that of Consume: %v", err)
	}
	grip.settle(got) // What is finished while draining counts.
	grip.giveBack()
	call.stop()
	select {
	case <-grip.ctx.Done():
	case <-k.after(k.patience):
		k.Error("the partition's context outlived it")
	}

	call = k.grab(k.open(), reader)
	grip = call.nextWithin(k.HandOver)
	grip.expect(4, 5)
	grip.giveBack()
	call.stop()
}

func withoutGroup(k *kit) {
	b := k.open()
	topic := k.topic(b, 3)
	k.publish(b, make10(topic)...)
	for range 2 {
		var one, other inbox
		first := k.consumeInto(&one, b, broker.Reader{Topics: []string{topic}})
		second := k.consumeInto(&other, k.open(), broker.Reader{Topics: []string{topic}})
		k.eventually("both readers get everything", func() bool { return one.len() >= 10 && other.len() >= 10 })
		first.stop()
		second.stop()
		if one.len() != 10 || other.len() != 10 {
			k.Errorf("10 records were published; two readers got %d and %d", one.len(), other.len())
		}
	}
}

func toEnd(k *kit) {
	b := k.open()
	topic, empty := k.topic(b, 2), k.topic(b, 2)
	k.publish(b, append(make10(topic), make10(topic)...)...)
	var box inbox
	later := sync.OnceFunc(func() { k.publish(b, make10(topic)...) })
	call := k.consume(b, broker.Reader{Topics: []string{topic, empty}, ToEnd: true}, func(ctx context.Context, p broker.Partition) {
		later()
		box.each(ctx, p)
	})
	call.join()
	if call.err != nil {
		k.Errorf("Consume returned %v at the end", call.err)
	}
	if box.len() != 20 || len(box.lost) > 0 {
		k.Errorf("the topic had 20 records; the reader got %d, and %v", box.len(), box.lost)
	}
	err := b.Consume(k.patient(), broker.Reader{Group: "g", Topics: []string{topic}, ToEnd: true}, box.each)
	if !errors.Is(err, broker.ErrInvalid) {
		k.Errorf("reading to the end with a group gives %v", err)
	}
}

func fromLatest(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	k.sequence(b, topic, 1, 5)
	for _, group := range []string{"", k.unique("group")} {
		call := k.grab(b, broker.Reader{Group: group, Topics: []string{topic}, From: broker.Start{Latest: true}})
		grip := call.next()
		k.sequence(b, topic, 6, 8)
		grip.expect(6, 8)
		grip.giveBack()
		call.stop()
	}
}

func fromTime(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	k.sequence(b, topic, 1, 5)
	k.wait(50 * time.Millisecond)
	at := time.Now()
	k.wait(50 * time.Millisecond)
	k.sequence(b, topic, 6, 8)
	for _, group := range []string{"", k.unique("group")} {
		call := k.grab(b, broker.Reader{Group: group, Topics: []string{topic}, From: broker.Start{At: at}})
		grip := call.next()
		grip.expect(6, 8)
		grip.giveBack()
		call.stop()
	}
}

func positionBeforeFrom(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.sequence(b, topic, 1, 5)
	for _, from := range []broker.Start{{}, {Latest: true}, {At: time.Now().Add(time.Hour)}} {
		reader.From = from
		call := k.grab(b, reader)
		grip := call.nextWithin(k.HandOver)
		got := grip.read(1)
		grip.settle(got)
		grip.giveBack()
		call.stop()
	}
	var box inbox
	k.consumeInto(&box, b, reader)
	k.within(k.HandOver, "the rest arrives", func() bool { return box.len() >= 2 })
	if got := box.values(); !slices.Equal(got, []string{"4", "5"}) {
		k.Errorf("three of five records were settled one by one; then came %q", got)
	}
}
