package brokertest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// kit is what a scenario works with.
type kit struct {
	testing.TB
	Fixture
	// patience is how long something that must happen may take on a slow machine.
	patience time.Duration
	// drain is how long everything that was stored may take to be handled, hand-overs included.
	drain time.Duration
	// unordered switches the order of each key off in replicas: for controls.
	unordered bool
	name      string
	count     atomic.Int64
}

// notWaiting stands for the ack wait of a server that has none.
const notWaiting = 100 * time.Millisecond

func newKit(tb testing.TB, f Fixture) *kit {
	tb.Helper()
	const patience = 30 * time.Second
	f.AckWait = cmp.Or(f.AckWait, notWaiting)
	f.HandOver = cmp.Or(f.HandOver, 20*time.Second)
	// The data of real servers survive a test run, so a name must not come twice.
	name := "bt-" + rand.Text()[:10]
	return &kit{TB: tb, Fixture: f, patience: patience, drain: f.HandOver + patience, name: name}
}

// unique returns a name that nothing else has.
func (k *kit) unique(what string) string { return fmt.Sprintf("%s-%s%d", k.name, what, k.count.Add(1)) }

// open returns a client that is closed when the scenario ends.
func (k *kit) open() broker.Broker {
	k.Helper()
	b, _ := k.openClosable()
	return b
}

// openClosable returns a client that the scenario may close earlier.
func (k *kit) openClosable() (broker.Broker, func()) {
	k.Helper()
	b, closeClient := k.Open(k.TB)
	closeOnce := sync.OnceFunc(closeClient)
	k.Cleanup(closeOnce)
	return b, closeOnce
}

// topic makes a new topic.
func (k *kit) topic(b broker.Broker, partitions int) string {
	k.Helper()
	name := k.unique("topic")
	k.apply(b, broker.Topic{Name: name, Partitions: partitions})
	return name
}

func (k *kit) apply(b broker.Broker, want ...broker.Topic) []broker.TopicState {
	k.Helper()
	states, err := b.Topics(k.patient(), broker.Apply, want...)
	if err != nil {
		k.Fatalf("apply topics: %v", err)
	}
	if len(states) != len(want) {
		k.Fatalf("apply topics: %d states for %d topics", len(states), len(want))
	}
	return states
}

func (k *kit) inspect(b broker.Broker, want broker.Topic) broker.TopicState {
	k.Helper()
	states, err := b.Topics(k.patient(), broker.Inspect, want)
	if err != nil {
		k.Fatalf("inspect topic %s: %v", want.Name, err)
	}
	if len(states) != 1 {
		k.Fatalf("inspect topic %s: %d states for one topic", want.Name, len(states))
	}
	return states[0]
}

// patient is a context that ends with the scenario, or when patience does.
func (k *kit) patient() context.Context {
	ctx, cancel := context.WithTimeout(k.Context(), k.patience)
	k.Cleanup(cancel)
	return ctx
}

// outcome is what done was told.
type outcome struct {
	receipt broker.Receipt
	err     error
	calls   int
}

// errSilence is the outcome of a record for which done was not called.
var errSilence = errors.New("done was not called")

// tryPublish publishes and waits until done was called for every record.
func (k *kit) tryPublish(b broker.Broker, records ...broker.Record) []outcome {
	k.Helper()
	return k.send(b, records)()
}

// send publishes; what it returns waits until done was called for every record.
func (k *kit) send(b broker.Broker, records []broker.Record) (wait func() []outcome) {
	k.Helper()
	var mu sync.Mutex
	outcomes := make([]outcome, len(records))
	for i := range outcomes {
		outcomes[i].err = errSilence
	}
	left := len(records)
	all := make(chan struct{})
	ctx, cancel := context.WithTimeout(k.Context(), k.patience)
	defer cancel()
	b.Publish(ctx, records, func(i int, r broker.Receipt, err error) {
		mu.Lock()
		defer mu.Unlock()
		if i < 0 || i >= len(outcomes) {
			k.Errorf("done was called for record %d of %d", i, len(outcomes))
			return
		}
		o := &outcomes[i]
		if o.calls++; o.calls > 1 {
			k.Errorf("done was called %d times for record %d", o.calls, i)
			return
		}
		o.receipt, o.err = r, err
		if left--; left == 0 {
			close(all)
		}
	})
	return func() []outcome {
		k.Helper()
		// The adapter's own publish timeout must be over by then.
		timer := time.NewTimer(2 * k.patience)
		defer timer.Stop()
		select {
		case <-all:
		case <-timer.C:
			k.Errorf("done was not called for all of %d records in %s", len(records), 2*k.patience)
		}
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(outcomes)
	}
}

// publish is tryPublish for records that must be stored.
func (k *kit) publish(b broker.Broker, records ...broker.Record) []broker.Receipt {
	k.Helper()
	receipts := make([]broker.Receipt, 0, len(records))
	for i, o := range k.tryPublish(b, records...) {
		if o.err != nil {
			k.Fatalf("publish record %d of %d: %v", i, len(records), o.err)
		}
		receipts = append(receipts, o.receipt)
	}
	return receipts
}

// after is a channel that is ready after d; it leaves nothing behind when the scenario ends.
func (k *kit) after(d time.Duration) <-chan time.Time {
	timer := time.NewTimer(d)
	k.Cleanup(func() { timer.Stop() })
	return timer.C
}

// eventually waits until what is true.
func (k *kit) eventually(what string, isTrue func() bool) {
	k.Helper()
	k.within(k.patience, what, isTrue)
}

func (k *kit) within(limit time.Duration, what string, isTrue func() bool) {
	k.Helper()
	if !k.holds(limit, isTrue) {
		k.Fatalf("not within %s: %s", limit, what)
	}
}

// holds waits until what is true, and reports whether it came true in time.
func (k *kit) holds(limit time.Duration, isTrue func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !isTrue(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// wait lets time pass: for what must not happen meanwhile.
func (k *kit) wait(d time.Duration) {
	<-k.after(d)
}
