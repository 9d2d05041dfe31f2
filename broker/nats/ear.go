package nats

import (
	"context"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// Bounds of what waits for a slow listener.
const (
	maxHeard      = 64 << 10
	maxHeardBytes = 16 << 20
)

// arrivals is how many messages may arrive unseen. When it is full, nats.go throws away the newest, where we want to lose the oldest. So
// nobody looks away for longer than longCall: it would take 1.6 million messages a second to fill it.
const (
	arrivals = 16 << 10
	longCall = 10 * time.Millisecond
)

// remembered is how many stored records a listener knows again: several batches. A batch whose answer was lost is sent again as it was, and the server, which stores it once,
// hands it to listeners each time. Live records are sent once, and have no ID.
const remembered = 8 << 10

// ear hands one message after the other to a listener. What the listener has no time for waits; when that is too much, the oldest is forgotten.
type ear struct {
	arrived chan *natsgo.Msg
	handle  func(msg *natsgo.Msg, topic string)
	topics  map[string]string // by the subject that was subscribed to

	// late runs gather when one message takes long, and handled ends it. They take turns with what follows: gather has it while the message
	// is handled, and hear at all other times.
	late    *time.Timer
	handled chan struct{}
	queue   []*natsgo.Msg
	bytes   int

	known map[stored]bool
	last  []stored // what is known, in a ring
	next  int      // in last
}

// stored is which record of which topic a message has.
type stored struct{ topic, id string }

func newEar(handle func(msg *natsgo.Msg, topic string)) *ear {
	e := &ear{arrived: make(chan *natsgo.Msg, arrivals), handle: handle, topics: map[string]string{}, handled: make(chan struct{}), known: map[stored]bool{}}
	e.late = time.AfterFunc(time.Hour, e.gather)
	e.late.Stop()
	return e
}

// listen handles what arrives until one of the two ends.
func (e *ear) listen(ctx, gone context.Context) {
	for ctx.Err() == nil && gone.Err() == nil {
		if msg := e.overdue(); msg != nil {
			e.hear(msg)
			continue
		}
		select {
		case <-ctx.Done():
		case <-gone.Done():
		case msg := <-e.arrived:
			e.hear(msg)
		}
	}
}

// hear handles a message. While that takes long, somebody else looks after what arrives.
func (e *ear) hear(msg *natsgo.Msg) {
	topic := e.topics[msg.Sub.Subject]
	if e.again(topic, msg) {
		return
	}
	e.late.Reset(longCall)
	e.handle(msg, topic)
	if !e.late.Stop() {
		e.handled <- struct{}{}
	}
}

// again reports whether a record was heard before.
func (e *ear) again(topic string, msg *natsgo.Msg) bool {
	id := msg.Header[headerID]
	if len(id) == 0 {
		return false
	}
	p := stored{topic, id[0]}
	if e.known[p] {
		return true
	}
	if len(e.last) < remembered {
		e.last = append(e.last, p)
	} else {
		delete(e.known, e.last[e.next])
		e.last[e.next] = p
		e.next = (e.next + 1) % remembered
	}
	e.known[p] = true
	return false
}

// gather queues what arrives until the message that takes long is handled.
func (e *ear) gather() {
	for {
		select {
		case msg := <-e.arrived:
			e.add(msg)
		case <-e.handled:
			return
		}
	}
}

// overdue takes the oldest of the messages that have arrived by now; nil: there is none.
func (e *ear) overdue() *natsgo.Msg {
	for range len(e.arrived) {
		e.add(<-e.arrived)
	}
	if len(e.queue) == 0 {
		return nil
	}
	msg := e.queue[0]
	e.forget()
	return msg
}

func (e *ear) add(msg *natsgo.Msg) {
	e.queue = append(e.queue, msg)
	e.bytes += msg.Size()
	for len(e.queue) > maxHeard || e.bytes > maxHeardBytes && len(e.queue) > 1 {
		e.forget()
	}
}

// forget removes the oldest.
func (e *ear) forget() {
	e.bytes -= e.queue[0].Size()
	e.queue[0] = nil
	e.queue = e.queue[1:]
}
