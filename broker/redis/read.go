package redis

import (
	"context"
	"errors"
	"log/slog"
)

// open opens the feed. It tries until that works, stop is closed, or the partition is lost.
func (p *partition) open(stop <-chan struct{}) bool {
	pause, complained := newPause(), false
	for {
		ctx, cancel := context.WithTimeout(p.ctx, readTry)
		err := p.feed.open(ctx)
		cancel()
		if err == nil || p.ctx.Err() != nil {
			return err == nil
		}
		if !complained {
			p.b.cfg.Log.LogAttrs(p.ctx, slog.LevelInfo, "a partition could not be opened, trying again", p.src.attrs(slog.Any("error", err))...)
			complained = true
		}
		if o, ok := p.feed.(*owner); ok && errors.Is(err, errStale) {
			// A newer owner would have taken the lease. If it is still ours after its whole time, there is none, and the table of
			// leases was lost or restored: then what looks newer is what is left of the past.
			pause.next, o.force = 2*p.b.cfg.LeaseTTL, true
		}
		p.b.lookAgain(p.ctx)
		if !pause.wait(p.ctx, stop) {
			return false
		}
	}
}

// read fills the queue until the partition is lost, was given back, or has been read to its end.
func (p *partition) read() {
	for {
		count, more := p.room()
		if !more {
			return
		}
		if count == 0 {
			select {
			case <-p.space:
			case <-p.stop:
				return
			case <-p.ctx.Done():
				return
			case <-p.trouble:
				if !p.open(p.stop) {
					return
				}
			}
			continue
		}
		ctx, cancel := context.WithTimeout(p.ctx, readTry)
		c, err := p.feed.read(ctx, count)
		cancel()
		if err == nil {
			p.add(c)
			continue
		}
		if p.ctx.Err() != nil || p.stopping() {
			return
		}
		p.b.cfg.Log.LogAttrs(p.ctx, slog.LevelInfo, "a partition could not be read and is opened again", p.src.attrs(slog.Any("error", err))...)
		p.b.lookAgain(p.ctx)
		if !newPause().wait(p.ctx, p.stop) || !p.open(p.stop) {
			return
		}
	}
}

// room is how many records may be read now; there is no more to read when the partition comes to its end.
func (p *partition) room() (count int, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.atEnd || p.ctx.Err() != nil || p.stopping() {
		return 0, false
	}
	records, bytes := p.b.cfg.PrefetchRecords, p.b.cfg.PrefetchBytes
	if p.records > records/2 || p.queued > bytes/2 {
		return 0, true
	}
	return max(1, min(records-p.records, (bytes-p.queued)/p.guess, maxRead)), true
}

// add queues what was read, but for what was received before.
func (p *partition) add(c chunk) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var known map[entryID]bool
	kept, size := 0, 0
	for i, at := range c.places {
		size += at.size
		if p.src.toEnd && at.id.compare(p.src.end) > 0 {
			p.atEnd = true
			continue
		}
		if at.id.compare(p.received) <= 0 {
			if known == nil {
				known = p.known()
			}
			if p.comesAgain(at.id, known) {
				continue
			}
		}
		c.deliveries[kept], c.places[kept] = c.deliveries[i], at
		c.deliveries[kept].Sequence = p.numbers.next(at.id)
		kept++
		p.received = maxID(p.received, at.id)
		p.queued += at.size
	}
	n := len(c.places)
	if n > 0 {
		p.guess = max(size/n, p.guess/2, 1)
	}
	if p.src.toEnd && (n == 0 || p.received.compare(p.src.end) >= 0) {
		p.atEnd = true
	}
	if kept > 0 {
		p.queue = append(p.queue, chunk{c.deliveries[:kept:kept], c.places[:kept]})
		p.records += kept
	}
	wake(p.arrived)
}

// known are the entries that this owner has received, and whether it has settled them. Those that are settled and acknowledged
// are not among them: if they come again, the server has forgotten that, and nobody can tell them from others.
func (p *partition) known() map[entryID]bool {
	known := make(map[entryID]bool, p.records+len(p.unsettled)+len(p.settled))
	for i := range p.queue {
		for _, at := range p.queue[i].places {
			known[at.id] = false
		}
	}
	for _, h := range p.unsettled {
		known[h.id] = h.done
	}
	for _, id := range p.settled {
		known[id] = true
	}
	return known
}

// comesAgain reports whether an entry need not be delivered. One that is settled is acknowledged again.
func (p *partition) comesAgain(id entryID, known map[entryID]bool) bool {
	settled, here := known[id]
	if settled {
		p.settled = append(p.settled, id)
		wake(p.dirty)
	}
	return here
}
