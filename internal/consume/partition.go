package consume

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

const (
	// maxFetch is how many messages one fetch asks for, so that one partition's messages are not all taken in at a stroke.
	maxFetch = 512
	// slabSize is how many messages are allocated together. A message that is kept for long keeps its neighbours in memory.
	slabSize = 16
	// maxUnsettled bounds what has finished and could not be settled yet.
	maxUnsettled = 1 << 16
	// grace is how long a handler may take to return after its context was cancelled, and the last settlement after that.
	grace = time.Second
)

// partition is a broker's partition while this consumer owns it. The consumer's mu guards the lower part.
type partition struct {
	source broker.Partition
	holder Holder             // nil: nothing is held
	owned  context.Context    // the broker's: it ends when ownership is lost
	ctx    context.Context    // of handlers: it ends then or when they are to be interrupted
	cancel context.CancelFunc // ends ctx
	stop   <-chan struct{}    // closed when the whole consumer stops

	wake  chan struct{} // for the fetcher, when it may go on
	dirty chan struct{} // for the settler, when there is something to settle
	quiet chan struct{} // closed when the partition is halted and no handler runs

	lanes          map[string]*lane
	free           *lane
	oldest, newest *message // unfinished ones
	held, bytes    int      // messages that are neither finished nor dropped, and their size
	count          [states]int
	done           []uint64 // finished and not settled
	last           uint64   // the highest sequence that was fetched
	starved        bool     // the fetcher waits for wake
	halted         bool     // nothing is started any more
}

// consume owns a partition until it is to be given back or lost. Run ends when the whole consumer stops.
func (c *Consumer) consume(run, owned context.Context, source broker.Partition, holder Holder) {
	p := c.open(owned, source, holder)
	p.stop = run.Done()
	defer c.close(p)
	fetching, fail := context.WithCancelCause(owned)
	defer fail(nil)
	settling, giveUp := context.WithCancel(owned)
	defer giveUp()
	var settler sync.WaitGroup
	halted := make(chan struct{})
	settler.Go(func() { fail(c.keepSettled(settling, p, halted)) })

	err := c.learn(fetching, run, p)
	if err == nil {
		err = c.fetchAll(fetching, p)
	}
	c.halt(p)
	lost := !errors.Is(err, io.EOF)
	if lost {
		p.cancel()
		giveUp()
		c.log.LogAttrs(owned, slog.LevelInfo, "a partition was lost", slog.String("error", err.Error()))
	}
	c.awaitHandlers(p)

	defer time.AfterFunc(grace, giveUp).Stop()
	close(halted)
	settler.Wait()
	if err = c.settle(settling, p); err != nil {
		c.log.LogAttrs(owned, slog.LevelInfo, "finished messages could not be settled and will come again", slog.String("error", err.Error()))
	}
	if lost {
		p.breathe()
	}
}

// breathe waits a moment before a partition that failed is given back: the broker may offer it again at once, and fail again.
func (p *partition) breathe() {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.owned.Done():
	case <-p.stop:
	}
}

func (c *Consumer) open(owned context.Context, source broker.Partition, holder Holder) *partition {
	p := &partition{
		source: source,
		holder: holder,
		owned:  owned,
		wake:   make(chan struct{}, 1),
		dirty:  make(chan struct{}, 1),
		quiet:  make(chan struct{}),
		lanes:  make(map[string]*lane),
	}
	p.ctx, p.cancel = context.WithCancel(owned)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partitions[p] = struct{}{}
	return p
}

func (c *Consumer) close(p *partition) {
	p.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.partitions, p)
	c.forsake(p)
	c.wakeFetchers() // The others' shares have grown.
}

// fetchAll takes messages in until there are no more for us. It returns io.EOF when the partition is to be given back in order.
func (c *Consumer) fetchAll(ctx context.Context, p *partition) error {
	var fresh []*message
	for {
		limit, maxBytes, err := c.awaitRoom(ctx, p)
		if err != nil {
			return err
		}
		deliveries, err := p.source.Fetch(ctx, limit, maxBytes)
		switch {
		case errors.Is(err, io.EOF) && c.cfg.ToEnd:
			return c.awaitFinished(ctx, p)
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		fresh = c.accept(p, deliveries, fresh[:0]) //nolint:contextcheck // Workers use the contexts of their messages' partitions.
	}
}

// accept routes deliveries and takes those that are for us into their lanes. Fresh is room for them.
func (c *Consumer) accept(p *partition, deliveries []broker.Delivery, fresh []*message) []*message {
	var slab []message
	for i := range deliveries {
		d := &deliveries[i]
		r := c.cfg.Route(d)
		if r == nil {
			fresh = append(fresh, nil)
			continue
		}
		if len(slab) == 0 {
			slab = make([]message, min(len(deliveries)-i, slabSize))
		}
		m := &slab[0]
		slab = slab[1:]
		m.delivery, m.reaction, m.part, m.size = *d, r, p, d.Size()
		fresh = append(fresh, m)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range fresh {
		p.last = max(p.last, deliveries[i].Sequence)
		if m == nil {
			c.total.Skipped++
			p.settled(deliveries[i].Sequence)
			continue
		}
		c.add(m)
	}
	clear(fresh)
	return fresh
}

// link appends a fresh message to the unfinished ones.
func (p *partition) link(m *message) {
	m.older = p.newest
	if p.newest == nil {
		p.oldest = m
	} else {
		p.newest.newer = m
	}
	p.newest = m
	p.count[m.state]++
	p.held++
	p.bytes += m.size
}

// finish takes m off the unfinished ones.
func (p *partition) finish(m *message) {
	if m.older == nil {
		p.oldest = m.newer
	} else {
		m.older.newer = m.newer
	}
	if m.newer == nil {
		p.newest = m.older
	} else {
		m.newer.older = m.older
	}
	m.older, m.newer = nil, nil
	m.to(finished)
	p.held--
	p.bytes -= m.size
	p.settled(m.delivery.Sequence)
}

// drop leaves m to the next owner. It stays among the unfinished ones, where it holds the position back.
func (p *partition) drop(m *message) {
	m.to(dropped)
	p.held--
	p.bytes -= m.size
}

func (p *partition) laneOf(key string) *lane {
	l := p.lanes[key]
	if l != nil {
		return l
	}
	if l = p.free; l != nil {
		p.free, l.free = l.free, nil
	} else {
		l = &lane{}
	}
	l.key = key
	p.lanes[key] = l
	return l
}

func (p *partition) freeLane(l *lane) {
	delete(p.lanes, l.key)
	*l = lane{free: p.free}
	p.free = l
}
