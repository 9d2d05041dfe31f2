package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/tidings-go/tidings/broker"
)

// listenBuffer is how many records wait for a slow listener before the oldest is dropped.
const listenBuffer = 1024

// Listen implements [broker.Broker]. Up to 1,024 records wait for each; when there are more, the oldest are lost.
func (b *Broker) Listen(ctx context.Context, l broker.Listener, each func(broker.Record)) error {
	topics, err := b.findAll("listen", l.Topics)
	if err != nil {
		return err
	}
	if err := b.begin(); err != nil {
		return fmt.Errorf("memory: listen: %w", err)
	}
	defer b.calls.Done()
	own := &listener{wake: make(chan struct{}, 1)}
	for _, t := range topics {
		t.admit(own, l.Group)
	}
	leave := sync.OnceFunc(func() {
		for _, t := range topics {
			t.dismiss(own, l.Group)
		}
	})
	defer leave()
	if l.Ready != nil {
		l.Ready()
	}
	for {
		select {
		case <-ctx.Done():
			leave()
			own.finish(each)
			return nil
		case <-b.closed:
			return fmt.Errorf("memory: listen: %w", broker.ErrClosed)
		case <-own.wake:
		}
		for r, ok := own.pop(); ok; r, ok = own.pop() {
			each(r)
			if ctx.Err() != nil || b.isClosed() {
				break
			}
		}
	}
}

// finish hands over what waits and asks for an answer. Nobody else gets it.
func (l *listener) finish(each func(broker.Record)) {
	for r, ok := l.pop(); ok; r, ok = l.pop() {
		if _, asks := r.Header(broker.ReplyTo); asks {
			each(r)
		}
	}
}

// listener is a ring of records that wait for one call of Listen.
type listener struct {
	wake chan struct{}

	mu    sync.Mutex // guards what follows; taken after a topic's lock
	ring  []broker.Record
	head  int // where the oldest record is
	count int
}

func (l *listener) push(r *broker.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ring == nil {
		l.ring = make([]broker.Record, listenBuffer)
	}
	if l.count == listenBuffer {
		l.head = (l.head + 1) % listenBuffer
		l.count--
	}
	l.ring[(l.head+l.count)%listenBuffer] = *r
	l.count++
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// pop takes the oldest record out; it is a copy that belongs to the listener.
func (l *listener) pop() (broker.Record, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == 0 {
		return broker.Record{}, false
	}
	r := l.ring[l.head]
	l.ring[l.head] = broker.Record{}
	l.head = (l.head + 1) % listenBuffer
	l.count--
	r.Value, r.Headers = bytes.Clone(r.Value), slices.Clone(r.Headers)
	return r, true
}

// audience is who listens to a topic. The topic's lock guards it.
type audience struct {
	all    []*listener
	queues map[string]*queue
}

// queue shares records among listeners, in turn.
type queue struct {
	members []*listener
	turn    int
}

func (a *audience) empty() bool { return len(a.all) == 0 && len(a.queues) == 0 }

func (a *audience) send(r *broker.Record) {
	for _, l := range a.all {
		l.push(r)
	}
	for _, q := range a.queues {
		q.turn++
		q.members[q.turn%len(q.members)].push(r)
	}
}

func (t *topic) admit(l *listener, group string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.audience
	if group == "" {
		a.all = append(a.all, l)
		return
	}
	if a.queues == nil {
		a.queues = make(map[string]*queue)
	}
	if a.queues[group] == nil {
		a.queues[group] = &queue{}
	}
	a.queues[group].members = append(a.queues[group].members, l)
}

func (t *topic) dismiss(l *listener, group string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.audience
	if group == "" {
		a.all = without(a.all, l)
		return
	}
	q := a.queues[group]
	if q.members = without(q.members, l); len(q.members) == 0 {
		delete(a.queues, group)
	}
}

// without returns all but the one.
func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(all, func(other T) bool { return other == one })
}
