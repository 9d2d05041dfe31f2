package consume

import (
	"context"
	"log/slog"
	"time"
)

// Breaker stops a consumer whose handlers do nothing but fail, because something that they all need is down. The zero value never does.
//
// While it is open nothing is handled. Messages stay where they are, and their partitions with this consumer. After each Wait one
// message, or one batch, is handled to see: when that succeeds, all go on. No attempt counts that fails while it is open, so a message that
// fails by itself while no other comes is tried once each Wait, for ever.
//
// This needs no library: what one would add is the count, and what is here is what one can't do, that is to hold tasks back and let a single one go.
type Breaker struct {
	// Failures is how many attempts have to fail in a row, over all lanes, to open it. A batch is one attempt, which fails when none of its
	// messages was handled. What was discarded or dead-lettered by its handler doesn't count. Zero: never.
	Failures int
	// Wait is how long nothing is handled before each probe. Default 10 s.
	Wait time.Duration
}

// circuit is where the breaker stands. The consumer's mu guards it.
type circuit struct {
	failures int  // in a row, while it is closed
	open     bool // nothing is handled
	due      bool // but a probe
	probe    task // which runs
	since    time.Time
}

// resting says whether no task may be taken.
func (c *Consumer) resting() bool {
	return c.paused || c.circuit.open && !c.circuit.due
}

// taken notes that a task begins to run.
func (s *circuit) taken(t task) {
	if s.open {
		s.due, s.probe = false, t
	}
}

// observe draws the breaker's conclusions from what became of a task. It is called with mu held, which it lets go while it logs.
func (c *Consumer) observe(t task, o outcome) {
	s := &c.circuit
	switch {
	case c.cfg.Breaker.Failures <= 0:
	case s.open && s.probe != t:
		// It began before the breaker opened.
	case s.open && o.end == handled:
		c.reset()
	case s.open && o.down:
		s.probe = task{}
		time.AfterFunc(c.cfg.Breaker.Wait, c.letProbe)
	case s.open: // It says nothing: it was discarded, interrupted, held.
		s.probe, s.due = task{}, true
	case o.end == handled:
		s.failures = 0
	case o.down:
		if s.failures++; s.failures >= c.cfg.Breaker.Failures {
			c.trip()
		}
	}
}

// trip opens the breaker.
func (c *Consumer) trip() {
	c.circuit = circuit{open: true, since: time.Now()}
	c.tripped.Store(true)
	time.AfterFunc(c.cfg.Breaker.Wait, c.letProbe)
	c.mu.Unlock()
	defer c.mu.Lock()
	c.log.LogAttrs(context.Background(), slog.LevelError, "nothing but failures: the subscription rests and tries one message now and then",
		slog.Int("failures", c.cfg.Breaker.Failures), slog.Duration("wait", c.cfg.Breaker.Wait))
}

// reset closes the breaker.
func (c *Consumer) reset() {
	rested := time.Since(c.circuit.since)
	c.circuit = circuit{}
	c.tripped.Store(false)
	c.startWorker()
	c.mu.Unlock()
	defer c.mu.Lock()
	c.log.LogAttrs(context.Background(), slog.LevelInfo, "a message was handled again: the subscription goes on", slog.Duration("rested", rested))
}

// letProbe is called by a timer.
func (c *Consumer) letProbe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.circuit.due = c.circuit.open
	c.startWorker()
}

// forsake lets another task probe if the one that does is of a partition that is given back.
func (c *Consumer) forsake(p *partition) {
	s := &c.circuit
	t := s.probe
	if t.message != nil && t.message.part == p || t.batch != nil && t.batch.has(p) {
		s.probe, s.due = task{}, true
		c.startWorker()
	}
}

func (b *batch) has(p *partition) bool {
	for _, m := range b.messages {
		if m.part == p {
			return true
		}
	}
	return false
}
