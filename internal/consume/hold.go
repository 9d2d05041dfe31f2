package consume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/tidings-go/tidings/broker"
)

const (
	// maxHold is how many messages are held with one call.
	maxHold = 256
	// learnTime is how long one look for what is held may take.
	learnTime = 30 * time.Second
)

// Holder keeps back what comes later of a key whose message was given up on, until that one is resolved: everything later of the
// key, in order. See [Consumer.RunHolding]. It is safe for concurrent use. A message without a key holds nothing.
type Holder interface {
	// Learn finds out which keys are held. It is called for each partition when it has been taken, before any of its messages is handled: what
	// the owner before has settled, it has stored.
	Learn(ctx context.Context) error

	// Holds reports whether the key of d may be held. It must be quick and must not block; it may say so of a key that is not, never the other way round.
	Holds(d *broker.Delivery) bool

	// Hold keeps messages, each later than the one before and all of one topic and key, behind those that wait already, and reports true
	// once they are stored: they are finished. It reports false when the key is free: the first of them is to be handled.
	Hold(ctx context.Context, later []*broker.Delivery) (held bool, err error)

	// Park keeps a message that was given up on, as [Config.DeadLetter] does, and holds its key from then on.
	Park(ctx context.Context, dead *Dead) error
}

// learn lets p's holder find out what is held, and returns when it has, or when p is to be given back (io.EOF) or lost.
func (c *Consumer) learn(ctx, run context.Context, p *partition) error {
	if p.holder == nil {
		return nil
	}
	for failures := 1; ; failures++ {
		err := callLearn(ctx, run, p.holder)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case run.Err() != nil:
			return io.EOF
		}
		c.log.LogAttrs(ctx, slog.LevelWarn, "which keys are held could not be read, so nothing is handled yet", slog.String("error", err.Error()))
		waiting, cancel := context.WithTimeout(ctx, restart.wait(failures))
		_, err = p.source.Fetch(waiting, 0, 0)
		over := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		if errors.Is(err, io.EOF) || err != nil && !over {
			return err
		}
	}
}

// callLearn ends with run too, so that a store that doesn't answer holds nobody up who wants to stop.
func callLearn(ctx, run context.Context, h Holder) (err error) {
	defer rescue(&err)
	ctx, cancel := context.WithTimeout(ctx, learnTime)
	defer cancel()
	defer context.AfterFunc(run, cancel)()
	return h.Learn(ctx)
}

// mayBeHeld reports whether the holder has to be asked before m is handled.
func (m *message) mayBeHeld() bool {
	h := m.part.holder
	return h != nil && m.lane != nil && !m.free && !m.dead() && h.Holds(&m.delivery)
}

// hold keeps m, and what is behind it in its lane, if its key is held. It reports whether m's attempt ends with that.
func (c *Consumer) hold(m *message) (o outcome, ends bool) {
	later := c.takeLater(m)
	deliveries := make([]*broker.Delivery, len(later))
	for i := range later {
		deliveries[i] = &later[i].delivery
	}
	held, err := callHold(m.part, deliveries)
	o = outcome{end: again}
	switch {
	case err == nil && held:
		o = outcome{end: kept}
	case err == nil:
		m.free = true
	case m.part.ctx.Err() == nil:
		t := m.troubled()
		t.burials++
		t.due = time.Now().Add(c.cfg.Retry.wait(t.burials))
		c.log.LogAttrs(m.part.ctx, slog.LevelError, "a message whose key is held could not be stored and holds its lane", m.attrs(err)...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range later[1:] {
		c.conclude(n, o)
	}
	// A batch is not handled here: the message comes again, and gathers.
	return o, held || err != nil || m.reaction.Batch != nil
}

// takeLater hands out the messages that are held with m, m the first.
func (c *Consumer) takeLater(m *message) []*message {
	c.mu.Lock()
	defer c.mu.Unlock()
	later := []*message{m}
	for n := m.next; n != nil && len(later) < maxHold && n.state == queued && !n.dead() && n.delivery.Topic == m.delivery.Topic; n = n.next {
		n.to(running)
		n.lane.handOut()
		later = append(later, n)
	}
	return later
}

func callHold(p *partition, later []*broker.Delivery) (held bool, err error) {
	defer rescue(&err)
	held, err = p.holder.Hold(p.ctx, later)
	if err != nil {
		return false, fmt.Errorf("hold: %w", err)
	}
	return held, nil
}
