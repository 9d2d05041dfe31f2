package brokertest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
)

func positionScenarios() []scenario {
	return []scenario{
		{name: "what was settled is remembered when the client is closed and opened again", run: positionSurvives},
		{name: "what was not settled comes again, in order, to the next owner", run: unsettledComesAgain},
		{name: "what a dead replica had not settled comes again, in order, to another", run: deadReplica},
		{name: "a settlement after the partition was given back moves nothing", run: staleSettlement},
		{name: "a handler slower than the ack wait is neither run twice nor loses its partition", run: slowHandler},
		{name: "a subscription that pauses keeps its partition", run: pausedReader},
	}
}

// sequence publishes n records of one key with the values 1 to n.
func (k *kit) sequence(b broker.Broker, topic string, from, to int) {
	k.Helper()
	var records []broker.Record
	for i := from; i <= to; i++ {
		records = append(records, broker.Record{Topic: topic, Key: "key", Value: fmt.Append(nil, i)})
	}
	k.publish(b, records...)
}

func positionSurvives(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.sequence(b, topic, 1, 10)
	for from := 1; from <= 7; from += 3 {
		client, closeClient := k.openClosable()
		call := k.grab(client, reader)
		grip := call.nextWithin(k.HandOver)
		got := grip.expect(from, from+2)
		grip.settle(got)
		grip.giveBack()
		call.stop()
		closeClient()
	}
}

func unsettledComesAgain(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.sequence(b, topic, 1, 10)
	call := k.grab(k.open(), reader)
	grip := call.next()
	got := grip.read(8)
	// 1, 2 and 5 are finished. Whether 5 comes again is the broker's business.
	err := grip.p.Settle(grip.ctx, broker.Settlement{
		Done: []uint64{got[4].Sequence, got[0].Sequence, got[1].Sequence}, Next: got[2].Sequence,
	})
	if err != nil {
		k.Fatalf("settle: %v", err)
	}
	grip.giveBack()
	call.stop()

	var box inbox
	k.consumeInto(&box, k.open(), reader)
	k.within(k.HandOver, "the last record arrives", func() bool { return slices.Contains(box.values(), "10") })
	again := slices.DeleteFunc(box.values(), func(v string) bool { return v == "5" })
	if want := []string{"3", "4", "6", "7", "8", "9", "10"}; !slices.Equal(again, want) {
		k.Errorf("the next owner was to get %q, got %q", want, again)
	}
}

func deadReplica(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.sequence(b, topic, 1, 10)
	client, die := k.openClosable()
	call := k.grab(client, reader)
	grip := call.next()
	got := grip.read(6)
	grip.settle(got[:2])

	next := k.grab(k.open(), reader)
	died := make(chan struct{})
	go func() {
		defer close(died)
		die()
	}()
	select {
	case <-grip.ctx.Done():
	case <-k.after(k.patience):
		k.Error("the partition's context did not end when its client was closed")
	}
	grip.giveBack()
	<-died
	call.join()
	next.nextWithin(k.HandOver).expect(3, 10)
}

// staleSettlement keeps partitions in hand beyond their loss, as a process does that was stopped and goes on.
func staleSettlement(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.sequence(b, topic, 1, 10)

	call := k.grab(k.open(), reader)
	stale := call.next()
	old := stale.read(8)
	stale.giveBack()
	call.stop()
	settleLate := func(n int) {
		ctx, cancel := context.WithTimeout(k.Context(), k.patience)
		defer cancel()
		// It may return an error or not. It must have no effect.
		if err := stale.p.Settle(ctx, settlement(old[:n])); err != nil {
			k.Logf("the late settlement says: %v", err)
		}
	}

	settleLate(5)
	call = k.grab(k.open(), reader)
	grip := call.nextWithin(k.HandOver)
	got := grip.expect(1, 6)
	settleLate(8)
	grip.settle(got[:4])
	settleLate(2)
	grip.giveBack()
	call.stop()

	settleLate(8)
	call = k.grab(k.open(), reader)
	grip = call.nextWithin(k.HandOver)
	grip.expect(5, 10)
	grip.giveBack()
	call.stop()
}

func slowHandler(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.sequence(b, topic, 1, 5)
	grip := k.grab(k.open(), reader).next()
	got := grip.read(5)
	var others inbox
	k.consumeInto(&others, k.open(), reader) // It waits for its turn, and must not get one.
	select {
	case <-grip.ctx.Done():
		k.Errorf("the partition was lost: %v", context.Cause(grip.ctx))
	case <-k.after(k.slow()):
	}
	if v := others.values(); len(v) > 0 {
		k.Errorf("records %q were given to another replica while they were handled", v)
	}
	grip.settle(got)
	k.sequence(b, topic, 6, 7)
	grip.expect(6, 7)
	grip.giveBack()
}

// slow is how long a slow handler takes: longer than the server would wait, if it waits at all, and a minute and more in the soak.
func (k *kit) slow() time.Duration {
	switch {
	case k.AckWait == notWaiting:
		return notWaiting + notWaiting/4
	case testenv.Soak():
		return k.AckWait + time.Minute
	default:
		return k.AckWait + 5*time.Second
	}
}

func pausedReader(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.sequence(b, topic, 1, 5)
	grip := k.grab(k.open(), reader).next()
	got := grip.read(2)
	grip.settle(got)
	select {
	case <-grip.ctx.Done():
		k.Errorf("the partition was lost: %v", context.Cause(grip.ctx))
	case <-k.after(k.AckWait + k.AckWait/4):
	}
	k.sequence(b, topic, 6, 6)
	grip.expect(3, 6)
	grip.giveBack()
}
