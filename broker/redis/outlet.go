package redis

import (
	"context"
	"fmt"
	"sync"
)

// outlet is where the messages of one topic go out: it gives them to the lanes of their partitions. While the topic is not
// known, they wait.
type outlet struct {
	b    *Broker
	name string

	mu      sync.Mutex
	lanes   []*lane
	turn    int // the partition of the next record without a key
	running sync.WaitGroup
	// stale says that the topic must be looked up before anything goes out; waiting is for that.
	stale, looking bool
	waiting        []*message
}

// add is called under the broker's lock, so that Close knows of every goroutine.
func (o *outlet) add(messages []*message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.stale && !o.looking {
		o.distribute(messages)
		return
	}
	o.waiting = append(o.waiting, messages...)
	if !o.looking {
		o.looking = true
		o.b.publishing.Go(o.lookUp)
	}
}

// lookUp finds out what partitions there are, and lets go what waited for that.
func (o *outlet) lookUp() {
	// Lanes of a topic that was there before may still have something, which then comes first.
	o.running.Wait()
	o.mu.Lock()
	deadline := o.waiting[0].deadline
	o.mu.Unlock()
	ctx, cancel := context.WithDeadlineCause(o.b.gone, deadline, errUnconfirmed(o.b.cfg.PublishTimeout))
	defer cancel()
	var t *topic
	err := o.b.persist(ctx, func(ctx context.Context) (err error) {
		t, err = o.b.topic(ctx, o.name)
		return err
	})
	if err == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.use(t)
		o.distribute(o.waiting)
		o.waiting, o.stale, o.looking = nil, false, false
		return
	}
	o.mu.Lock()
	failed := o.waiting
	o.waiting = nil
	o.mu.Unlock()
	o.b.fail(failed, err)
	o.mu.Lock()
	failed = o.waiting
	o.waiting, o.looking = nil, false
	o.mu.Unlock()
	o.b.fail(failed, giveUp(err))
}

func errUnconfirmed(timeout fmt.Stringer) error {
	return fmt.Errorf("the server has not confirmed it within the publish timeout of %v", timeout)
}

// use makes the lanes of a topic, unless they are there.
func (o *outlet) use(t *topic) {
	if len(o.lanes) == len(t.streams) {
		return
	}
	o.lanes = make([]*lane, len(t.streams))
	for p, stream := range t.streams {
		o.lanes[p] = &lane{outlet: o, partition: p, stream: stream, sent: sentKey(stream, o.b.member)}
		o.b.trimmer.watch(t.name, stream)
	}
}

// distribute gives each message to its partition.
func (o *outlet) distribute(messages []*message) {
	for _, m := range messages {
		p := 0
		if key := m.record.Key; key != "" {
			p = partitionOf(key, len(o.lanes))
		} else {
			o.turn++
			p = o.turn % len(o.lanes)
		}
		o.lanes[p].add(m)
	}
}

// expire has the topic looked up before the next message goes out.
func (o *outlet) expire() {
	o.b.forget(o.name)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stale = true
}
