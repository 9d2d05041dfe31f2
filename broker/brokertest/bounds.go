package brokertest

import (
	"bytes"
	"context"
	"runtime"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
)

func boundScenarios() []scenario {
	return []scenario{
		{
			name: "a closed client leaves no goroutine behind", run: leavesNothing,
			alone: true, needs: []Need{NeedGoroutines},
		},
		{
			name: "100,000 records for a reader that does not fetch stay out of its memory", run: boundedMemory,
			alone: true, needs: []Need{NeedHeap},
		},
	}
}

// leavesNothing uses all of the port, with a second client that is open all the time.
func leavesNothing(k *kit) {
	other := k.open()
	topic := k.topic(other, 2)
	k.publish(other, make10(topic)...)
	before := goleak.IgnoreCurrent()

	b, closeClient := k.openClosable()
	var box inbox
	var e ear
	group := k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}})
	everything := k.consumeInto(&box, b, broker.Reader{Topics: []string{topic}})
	listener := k.listen(&e, b, broker.Listener{Topics: []string{topic}})
	k.probeUntil(b, topic, &e)
	k.publish(b, make10(topic)...)
	k.eventually("all records arrive", func() bool { return box.len() >= 40 })
	group.stop()
	everything.stop()
	listener.stop()
	closeClient()
	if err := goleak.Find(before); err != nil {
		k.Error(err)
	}
}

// boundedMemory leaves a reader alone with one record fetched.
func boundedMemory(k *kit) {
	const records, size, perCall = 100_000, 512, 500
	const bound = 24 << 20 // half of what was published
	b := k.open()
	topic := k.topic(b, 1)
	grip := k.grab(k.open(), broker.Reader{Group: k.unique("group"), Topics: []string{topic}}).next()
	k.publish(b, broker.Record{Topic: topic, Key: "key", Value: []byte("first")})
	grip.read(1)
	batch := make([]broker.Record, perCall)
	for i := range batch {
		batch[i] = broker.Record{Topic: topic, Key: "key", Value: bytes.Repeat([]byte("x"), size)}
	}
	before := heap()
	for range records / perCall {
		k.publish(b, batch...)
	}
	if grown := heap() - before; grown > bound {
		k.Errorf("the heap grew by %d bytes while %d bytes were published that nobody fetched", grown, records*size)
	}
	ctx, cancel := context.WithTimeout(grip.ctx, k.patience)
	defer cancel()
	if _, err := read(ctx, grip.p, 1000); err != nil {
		k.Errorf("the reader goes on: %v", err)
	}
	grip.giveBack()
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
