package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-go/tidings/broker"
)

func disturbanceScenarios() []scenario {
	return []scenario{
		{
			name: "while the server does not answer, Publish waits for room in a bounded buffer, no longer than its context",
			run:  backPressure, alone: true, needs: []Need{NeedPause},
		},
		{
			name: "when the server dies while publishing and consuming, no acknowledged record is lost and each key keeps its order",
			run:  restarts, alone: true, needs: []Need{NeedRestart},
		},
		{
			name: "a client that is closed while the server does not answer answers for each record in bounded time",
			run:  closedWhilePaused, alone: true, needs: []Need{NeedPause},
		},
		{name: "a client that is closed with records on their way answers for each of them truly", run: closedWhilePublishing},
		{name: "a client that is closed while it reads ends its readers and listeners", run: closedWhileReading},
		{name: "a closed client answers ErrClosed", run: closedIsClosed},
	}
}

// flood is records on their way: it counts what done was told, and remembers the values that were stored.
type flood struct {
	k     *kit
	topic string

	mu       sync.Mutex // guards what follows
	sent     int
	answered map[int]error // by the number of the record
}

// publish sends n records of the given size with the next numbers, and reports how long the call took.
func (f *flood) publish(ctx context.Context, b broker.Broker, n, size int) time.Duration {
	f.mu.Lock()
	first := f.sent
	f.sent += n
	f.mu.Unlock()
	records := make([]broker.Record, n)
	for i := range records {
		value := append(fmt.Appendf(nil, "%d ", first+i), bytes.Repeat([]byte("x"), size)...)
		records[i] = broker.Record{Topic: f.topic, Key: fmt.Sprint("key", i%4), Value: value}
	}
	start := time.Now()
	b.Publish(ctx, records, func(i int, _ broker.Receipt, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, twice := f.answered[first+i]; twice {
			f.k.Errorf("done was called twice for record %d", first+i)
		}
		f.answered[first+i] = err
	})
	return time.Since(start)
}

func (f *flood) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent - len(f.answered)
}

// verify reads the topic and checks that what was answered as stored is there.
func (f *flood) verify(b broker.Broker) {
	f.k.Helper()
	stored := make(map[int]bool)
	for n, err := range f.answered {
		if err == nil {
			stored[n] = true
		}
	}
	f.k.Logf("of %d records, %d were answered as stored", f.sent, len(stored))
	var box inbox
	f.k.consumeInto(&box, b, broker.Reader{Group: f.k.unique("group"), Topics: []string{f.topic}})
	f.k.eventually("all records that were answered as stored arrive", func() bool {
		missing := len(stored)
		seen := make(map[int]bool)
		for _, d := range box.all() {
			var n int
			if _, err := fmt.Sscanf(string(d.Value[:min(len(d.Value), 12)]), "%d ", &n); err == nil && stored[n] && !seen[n] {
				seen[n] = true
				missing--
			}
		}
		return missing == 0
	})
}

func newFlood(k *kit, topic string) *flood {
	return &flood{k: k, topic: topic, answered: make(map[int]error)}
}

func backPressure(k *kit) {
	const perCall, size, wait = 32, 16 << 10, 2 * time.Second
	// A buffer that takes this much is not bounded in any sense that helps.
	const most = 256 << 20
	b := k.open()
	f := newFlood(k, k.topic(b, 1))
	resume := sync.OnceFunc(k.Pause(k.TB))
	k.Cleanup(resume)
	for blocked := false; !blocked; {
		ctx, cancel := context.WithTimeout(k.Context(), wait)
		took := f.publish(ctx, b, perCall, size)
		blocked = ctx.Err() != nil
		cancel()
		if took > wait+5*time.Second {
			k.Errorf("Publish took %s, though its context ended after %s", took, wait)
		}
		if f.sent*size > most {
			k.Fatalf("%d bytes went into the buffer of a broker that does not answer", f.sent*size)
		}
	}
	k.Logf("the buffer was full after %d records of %d bytes", f.sent, size)
	resume()
	k.within(2*k.patience, "done is called for all records", func() bool { return f.open() == 0 })
	k.publish(b, broker.Record{Topic: f.topic, Value: []byte("the client still works")})
	f.verify(k.open())
}

func closedWhilePaused(k *kit) {
	b, closeClient := k.openClosable()
	f := newFlood(k, k.topic(b, 1))
	resume := sync.OnceFunc(k.Pause(k.TB))
	k.Cleanup(resume)
	f.publish(k.patient(), b, 100, 100)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeClient()
	}()
	select {
	case <-closed:
	case <-k.after(k.patience):
		k.Errorf("closing took more than %s", k.patience)
	}
	resume()
	<-closed
	k.eventually("done is called for all records", func() bool { return f.open() == 0 })
	f.verify(k.open())
}

func closedWhilePublishing(k *kit) {
	b, closeClient := k.openClosable()
	f := newFlood(k, k.topic(b, 2))
	var publishing sync.WaitGroup
	var calls atomic.Int64
	for range 4 {
		publishing.Go(func() {
			for range 50 {
				calls.Add(1)
				f.publish(k.Context(), b, 20, 100)
			}
		})
	}
	k.eventually("publishing has begun", func() bool { return calls.Load() >= 20 })
	closeClient()
	publishing.Wait()
	k.eventually("done is called for all records", func() bool { return f.open() == 0 })
	f.verify(k.open())
}

func closedWhileReading(k *kit) {
	b, closeClient := k.openClosable()
	topic := k.topic(b, 2)
	var box inbox
	var e ear
	calls := []*call{
		k.consumeInto(&box, b, broker.Reader{Group: k.unique("group"), Topics: []string{topic}}),
		k.consumeInto(&box, b, broker.Reader{Topics: []string{topic}}),
		k.listen(&e, b, broker.Listener{Topics: []string{topic}}),
	}
	k.probeUntil(b, topic, &e)
	k.publish(b, make10(topic)...)
	k.eventually("all readers read", func() bool { return box.len() >= 20 })
	closeClient()
	for _, c := range calls {
		c.join()
	}
}

func closedIsClosed(k *kit) {
	b, closeClient := k.openClosable()
	topic := k.topic(b, 1)
	closeClient()
	o := k.tryPublish(b, broker.Record{Topic: topic, Value: []byte("x")})[0]
	_, topicsErr := b.Topics(k.patient(), broker.Inspect, broker.Topic{Name: topic})
	for what, err := range map[string]error{
		"Publish": o.err,
		"Live":    b.Live(k.patient(), make10(topic)),
		"Topics":  topicsErr,
		"Consume": b.Consume(k.patient(), broker.Reader{Group: "g", Topics: []string{topic}}, func(context.Context, broker.Partition) {}),
		"Listen":  b.Listen(k.patient(), broker.Listener{Topics: []string{topic}}, func(broker.Record) {}),
	} {
		if !errors.Is(err, broker.ErrClosed) {
			k.Errorf("%s on a closed client gives %v", what, err)
		}
	}
}

// restarts has publishers that send again what failed, as the relay of an outbox does. So when a record fails, later records of
// its key that were sent before that was known must fail too.
func restarts(k *kit) {
	const publishers = 4
	b := k.open()
	topic := k.topic(b, 4)
	var oracle Oracle
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.consume(k.open(), reader, watch(&oracle))
	k.consume(k.open(), reader, watch(&oracle))

	halt := make(chan struct{})
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() { k.insist(b, topic, p, &oracle, halt) })
	}
	k.flows(&oracle, "before the first restart")
	for i := range 2 * rounds(10) {
		k.Restart(k.TB)
		k.flows(&oracle, fmt.Sprint("after restart ", i+1))
	}
	close(halt)
	publishing.Wait()
	v := k.judgeAll(&oracle)
	k.Logf("%d records of %d keys, %d repeats", v.Handled, v.Keys, v.Repeats)
}

// insist publishes until halt is closed: three calls at a time, and what failed of them again before it goes on.
func (k *kit) insist(b broker.Broker, topic string, publisher int, oracle *Oracle, halt <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-halt:
			return
		case <-k.Context().Done():
			return
		case <-tick.C:
		}
		var open []broker.Record
		for i := range 48 { // six records of each of eight keys
			open = append(open, numbered(oracle, topic, fmt.Sprint("publisher", publisher, "-key", i%8)))
		}
		k.insistOn(b, open, 16, oracle)
	}
}

// insistOn publishes records in calls of that size, and what failed of them again, until all are stored.
func (k *kit) insistOn(b broker.Broker, open []broker.Record, size int, oracle *Oracle) {
	for deadline := time.Now().Add(k.drain); len(open) > 0 && k.Context().Err() == nil; size = len(open) {
		if time.Now().After(deadline) {
			k.Errorf("%d records could not be stored within %s", len(open), k.drain)
			return
		}
		open = k.sendOnce(b, open, size, oracle)
	}
}

// sendOnce publishes the records in calls of that size, none of which waits for the one before, and returns those that failed, with
// those that were not sent because that was known already: they may be later records of the same keys.
func (k *kit) sendOnce(b broker.Broker, records []broker.Record, size int, oracle *Oracle) (failed []broker.Record) {
	watched := watchful{Broker: b, failed: new(atomic.Bool)}
	var waits []func() []outcome
	sent := 0
	for part := range slices.Chunk(records, size) {
		if watched.failed.Load() {
			break
		}
		waits = append(waits, k.send(watched, part))
		sent += len(part)
	}
	i := 0
	for _, wait := range waits {
		for _, o := range wait() {
			if o.err == nil {
				stored(oracle, &records[i])
			} else {
				failed = append(failed, records[i])
			}
			i++
		}
	}
	return append(failed, records[sent:]...)
}

// watchful knows at once when a record has failed.
type watchful struct {
	broker.Broker
	failed *atomic.Bool
}

func (w watchful) Publish(ctx context.Context, records []broker.Record, done func(i int, r broker.Receipt, err error)) {
	w.Broker.Publish(ctx, records, func(i int, r broker.Receipt, err error) {
		if err != nil {
			w.failed.Store(true)
		}
		done(i, r, err)
	})
}
