package consume

import (
	"log/slog"
	"slices"
	"time"
)

// halt starts nothing of p any more and leaves what has not started to the next owner.
func (c *Consumer) halt(p *partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.halted = true
	for m := p.oldest; m != nil; m = m.newer {
		switch m.state {
		case running:
			continue
		case waiting:
			m.trouble.timer.Stop()
		default:
		}
		p.drop(m)
	}
	for _, b := range c.batches {
		b.messages = slices.DeleteFunc(b.messages, func(m *message) bool { return m.state == dropped })
		if len(b.messages) == 0 {
			c.forgetBatch(b)
		}
	}
	p.checkQuiet()
}

// checkQuiet closes quiet when p is halted and nothing runs.
func (p *partition) checkQuiet() {
	if p.count[running] == 0 {
		close(p.quiet)
	}
}

// awaitHandlers waits until no handler of p runs. After [Config.Stop] it interrupts them, and soon after that it leaves them behind:
// what they still finish is not settled.
func (c *Consumer) awaitHandlers(p *partition) {
	timer := time.NewTimer(c.cfg.Stop)
	defer timer.Stop()
	select {
	case <-p.quiet:
		return
	case <-timer.C:
	}
	p.cancel()
	timer.Reset(grace)
	select {
	case <-p.quiet:
	case <-timer.C:
		c.mu.Lock()
		left := p.count[running]
		c.mu.Unlock()
		c.log.LogAttrs(p.owned, slog.LevelError, "handlers ignored that their context ended and were left behind", slog.Int("messages", left))
	}
}
