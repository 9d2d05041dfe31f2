package consume

import (
	"time"

	"github.com/tidings-go/tidings/broker"
)

// message is a delivery that is held. It is not reused, because handlers may keep pointers into it.
//
// While a message runs, its worker owns attempt and trouble; at all other times the consumer's mu guards everything.
type message struct {
	delivery     broker.Delivery
	reaction     *Reaction
	part         *partition
	lane         *lane    // nil: the message is its own lane
	next         *message // the next one of the lane
	older, newer *message // the partition's unfinished ones, in the order in which they were fetched
	trouble      *trouble // nil while nothing has gone wrong
	size         int
	attempt      int32
	state        state
	free         bool // the holder has said that its key is not held
}

// trouble is what a message needs once it has failed.
type trouble struct {
	history []Failure
	due     time.Time // not before then
	timer   *time.Timer
	dead    bool // it was given up on and waits to be stored
	burials int  // how often storing it, or holding it, has failed
	outages int  // how often in a row what it needs was not there
}

// state is where a message stands. It moves down this list, and from running back to queued.
type state uint8

const (
	queued    state = iota // behind others of its lane
	waiting                // for the time of its next attempt
	gathering              // in a batch that has not started
	ready                  // for a worker
	running                // in a worker's hands
	finished
	dropped // left to the partition's next owner
	states
)

func (m *message) to(s state) {
	m.part.count[m.state]--
	m.part.count[s]++
	m.state = s
}

func (m *message) dead() bool { return m.trouble != nil && m.trouble.dead }

// wait is how long m may not be tried.
func (m *message) wait() time.Duration {
	if m.trouble == nil || m.trouble.due.IsZero() {
		return 0
	}
	return time.Until(m.trouble.due)
}

// troubled is m's trouble, made when it is needed.
func (m *message) troubled() *trouble {
	if m.trouble == nil {
		m.trouble = &trouble{}
	}
	return m.trouble
}

// lane is the unfinished messages of one key in one partition, in order. The first out of them were handed out together, and busy of those
// have not come back; only then the next ones have their turn.
type lane struct {
	key        string
	head, tail *message
	out, busy  int
	batch      *batch // where those that are out gather
	free       *lane  // the next unused lane
}

func (l *lane) push(m *message) {
	if l.tail == nil {
		l.head = m
	} else {
		l.tail.next = m
	}
	l.tail = m
}

// handOut counts m as out. It is the next after those that are out already.
func (l *lane) handOut() {
	if l != nil {
		l.out++
		l.busy++
	}
}

// takeBack removes what has finished of those that were out. The others are in their old places: before all later ones.
func (l *lane) takeBack() {
	var last *message
	for m := l.head; l.out > 0; l.out-- {
		next := m.next
		switch {
		case m.state != finished:
			last = m
		case last == nil:
			l.head, m.next = next, nil
		default:
			last.next, m.next = next, nil
		}
		m = next
		if m == nil {
			l.tail = last
		}
	}
	l.batch = nil
}

// add takes a message that was just fetched into its lane.
func (c *Consumer) add(m *message) {
	p := m.part
	p.link(m)
	if m.delivery.Key == "" || c.cfg.Unordered {
		c.activate(m)
		return
	}
	l := p.laneOf(m.delivery.Key)
	before := l.tail
	m.lane = l
	l.push(m)
	switch {
	case before == nil:
		c.activate(m)
	case before.state == gathering && l.batch.open && before.reaction == m.reaction && p.holder == nil:
		c.join(l.batch, m)
	}
}

// activate gives m its turn: it is the first of its lane and nothing of the lane is out.
func (c *Consumer) activate(m *message) {
	wait := m.wait()
	switch {
	case wait > 0:
		m.to(waiting)
		m.trouble.timer = time.AfterFunc(wait, func() { c.wake(m) })
	case m.reaction.Batch != nil && !m.dead() && !m.mayBeHeld():
		c.gather(m)
	default:
		m.to(ready)
		c.ready.push(task{message: m})
		c.startWorker()
	}
}

// wake is called by m's timer.
func (c *Consumer) wake(m *message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.state == waiting {
		c.activate(m)
	}
}

// conclude takes a message back from its worker.
func (c *Consumer) conclude(m *message, o outcome) {
	p := m.part
	c.total.count(o)
	switch {
	case o.end != again:
		p.finish(m)
	case p.halted:
		p.drop(m)
	default:
		m.to(queued)
	}
	switch {
	case p.halted:
		p.checkQuiet()
	case o.end == again && p.ctx.Err() != nil:
		// The partition was lost, and halt is about to drop the message.
	default:
		c.release(m)
		c.nudge(p)
	}
}

// release gives the lane of a message that came back to the next one, which may be the same.
func (c *Consumer) release(m *message) {
	l := m.lane
	if l == nil {
		if m.state == queued {
			c.activate(m)
		}
		return
	}
	if l.busy--; l.busy > 0 {
		return
	}
	l.takeBack()
	if l.head == nil {
		m.part.freeLane(l)
		return
	}
	c.activate(l.head)
}
