package consume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// outcome is what became of one attempt.
type outcome struct {
	end    end
	failed bool
	down   bool // it failed as it would if something that every message needs were down
}

type end uint8

const (
	handled end = iota
	discarded
	buried // stored as a dead letter
	kept   // stored behind one
	again  // not finished
)

// startWorker starts a worker when there is work and room for one. Each worker starts the next, one at a time: as many run as the work
// keeps busy, and quick handlers are not spread over goroutines that only wait for each other.
func (c *Consumer) startWorker() {
	if c.ready.len == 0 || c.resting() || c.starting || c.workers == c.cfg.Concurrency {
		return
	}
	c.workers++
	c.starting = true
	go c.work()
}

// work handles what is ready until nothing is.
func (c *Consumer) work() {
	var t task
	defer func() {
		if t != (task{}) {
			c.exited(t)
		}
	}()
	c.mu.Lock()
	c.starting = false
	for {
		t = c.take()
		if t == (task{}) {
			c.workers--
			c.mu.Unlock()
			return
		}
		c.startWorker()
		c.mu.Unlock()
		if t.batch != nil {
			c.runBatch(t.batch)
			c.mu.Lock()
			continue
		}
		o := c.attempt(t.message)
		c.mu.Lock()
		c.conclude(t.message, o)
		c.observe(t, o)
	}
}

// exited takes over from a worker whose goroutine a handler has ended with runtime.Goexit.
func (c *Consumer) exited(t task) {
	if t.batch != nil {
		c.concludeBatch(t.batch, errExit, c.judge)
	} else {
		o := c.judge(t.message, errExit)
		c.mu.Lock()
		c.conclude(t.message, o)
		c.observe(t, o)
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers--
	c.startWorker()
}

// take returns the next task, and none when there is nothing to do.
func (c *Consumer) take() task {
	for c.ready.len > 0 && !c.resting() {
		t := c.ready.pop()
		if t.batch != nil {
			if t.batch.start() {
				c.circuit.taken(t)
				return t
			}
			continue
		}
		if m := t.message; m.state == ready {
			m.to(running)
			m.lane.handOut()
			c.circuit.taken(t)
			return t
		}
	}
	return task{}
}

// attempt handles m once.
func (c *Consumer) attempt(m *message) outcome {
	if m.part.ctx.Err() != nil {
		return outcome{end: again}
	}
	if m.dead() {
		return c.bury(m)
	}
	if m.mayBeHeld() {
		if o, ends := c.hold(m); ends {
			return o
		}
	}
	m.attempt++
	return c.resolve(m, c.handle(m))
}

// handle runs m's handler within its timeout.
func (c *Consumer) handle(m *message) error {
	timeout := m.reaction.Timeout
	if timeout <= 0 {
		return call(m.part.ctx, m)
	}
	ctx, cancel := context.WithTimeout(m.part.ctx, timeout)
	defer cancel()
	overdue := time.AfterFunc(timeout+grace, func() { c.warnOverdue(ctx, m.reaction) })
	defer overdue.Stop()
	err := call(ctx, m)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return timedOut(timeout, err)
	}
	return err
}

func call(ctx context.Context, m *message) (err error) {
	defer rescue(&err)
	return m.reaction.Handle(ctx, &m.delivery)
}

// rescue, deferred, makes a panic an error.
func rescue(err *error) {
	if value := recover(); value != nil {
		*err = &panicError{value: value, stack: debug.Stack()}
	}
}

func timedOut(timeout time.Duration, err error) error {
	return fmt.Errorf("after the timeout of %s: %w", timeout, err)
}

func (c *Consumer) warnOverdue(ctx context.Context, r *Reaction) {
	c.log.LogAttrs(ctx, slog.LevelWarn, "a handler ignores its timeout and holds its lane",
		slog.String("reaction", r.Name), slog.Duration("timeout", r.Timeout))
}

// resolve does what follows from a handler's error.
func (c *Consumer) resolve(m *message, err error) outcome {
	o := c.judge(m, err)
	if o.end == again && m.dead() {
		o.end = c.bury(m).end
	}
	return o
}

// judge decides what follows from a handler's error.
func (c *Consumer) judge(m *message, err error) outcome {
	if err == nil {
		return outcome{end: handled}
	}
	err = sound(err)
	v := verdictOf(err)
	if v.kind == discard {
		c.log.LogAttrs(m.part.ctx, slog.LevelInfo, "a message was discarded", m.attrs(err)...)
		return outcome{end: discarded, failed: true}
	}
	if m.part.ctx.Err() != nil {
		return outcome{end: again} // Interrupted, which says nothing about the message: it is left to the next owner.
	}
	t := m.troubled()
	if v.kind == unavailable || v.kind != deadLetter && c.tripped.Load() {
		m.attempt--
		t.outages++
		t.due = time.Now().Add(max(c.cfg.Retry.wait(t.outages), v.after))
		c.log.LogAttrs(m.part.ctx, slog.LevelWarn, "a message waits for something that is not available", m.attrs(err)...)
		return outcome{end: again, failed: true, down: true}
	}
	t.outages = 0
	failure := newFailure(int(m.attempt), err)
	t.history = remember(t.history, failure)
	exhausted := int(m.attempt) >= c.cfg.Retry.Attempts
	switch {
	case v.kind == deadLetter || exhausted && c.cfg.OnFailure == Park:
		t.dead = true
		t.due = time.Time{}
		return outcome{end: again, failed: true, down: v.kind != deadLetter}
	case v.kind == retryAfter:
		t.due = time.Now().Add(v.after)
	case exhausted:
		t.due = time.Now().Add(c.cfg.Retry.Max)
	default:
		t.due = time.Now().Add(c.cfg.Retry.wait(int(m.attempt)))
	}
	if exhausted {
		c.log.LogAttrs(m.part.ctx, slog.LevelError, "a message blocks its key", m.failed(&failure)...)
	} else {
		c.log.LogAttrs(m.part.ctx, slog.LevelWarn, "a message failed and will be tried again", m.failed(&failure)...)
	}
	return outcome{end: again, failed: true, down: true}
}

// bury stores m as a dead letter.
func (c *Consumer) bury(m *message) outcome {
	t := m.trouble
	err := c.callDeadLetter(m)
	if err == nil {
		c.log.LogAttrs(m.part.ctx, slog.LevelError, "a message was dead-lettered", m.failed(&t.history[len(t.history)-1])...)
		return outcome{end: buried}
	}
	if m.part.ctx.Err() == nil {
		t.burials++
		t.due = time.Now().Add(c.cfg.Retry.wait(t.burials))
		c.log.LogAttrs(m.part.ctx, slog.LevelError, "a message could not be dead-lettered and holds its lane", m.attrs(err)...)
	}
	return outcome{end: again}
}

func (c *Consumer) callDeadLetter(m *message) (err error) {
	defer rescue(&err)
	dead := &Dead{Group: c.cfg.Group, Reaction: m.reaction.Name, Delivery: &m.delivery, History: m.trouble.history}
	if h := m.part.holder; h != nil {
		return h.Park(m.part.ctx, dead)
	}
	return c.cfg.DeadLetter(m.part.ctx, dead)
}

// attrs are what the log says of m and its failure. The key is left out, because it may name a person.
func (m *message) attrs(err error) []slog.Attr {
	d := &m.delivery
	return []slog.Attr{
		slog.String("reaction", m.reaction.Name), slog.String("topic", d.Topic), slog.Int("partition", d.Partition),
		slog.Uint64("sequence", d.Sequence), slog.Int("attempt", int(m.attempt)), slog.String("error", clip(err.Error(), maxErrorText)),
	}
}

// failed are attrs, and where the handler panicked.
func (m *message) failed(f *Failure) []slog.Attr {
	attrs := m.attrs(errors.New(f.Error))
	if f.Panic {
		attrs = append(attrs, slog.String("stack", f.Stack))
	}
	return attrs
}
