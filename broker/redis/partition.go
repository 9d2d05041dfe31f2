package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// errGivenBack is why the context of a partition ends when its call has returned.
var errGivenBack = errors.New("the partition was given back")

const (
	// readTry bounds one reading, and lastWords how long the last acknowledgements may take when a partition is given back.
	readTry   = 4 * time.Second
	lastWords = 5 * time.Second
	// maxRead is how many records one request asks for: more makes no difference but in memory.
	maxRead = 500
	// maxAcks is how many entries one script acknowledges.
	maxAcks = 1000
	// firstGuess is how large records are taken to be before one was seen.
	firstGuess = 64 << 10
)

// partition is one partition while this process owns it. One goroutine reads ahead, another acknowledges. Whatever disturbs the
// reading is answered in one way: it is opened again, what is pending comes again, and what was received before is skipped.
type partition struct {
	b    *Broker
	src  source
	feed feed
	stop <-chan struct{}
	ctx  context.Context // ends when the partition is lost or was given back
	lose context.CancelCauseFunc
	// arrived wakes Fetch, space the reader, trouble too, and dirty who acknowledges.
	arrived, space, trouble, dirty chan struct{}
	// told is closed when all is acknowledged that will be.
	told chan struct{}

	mu              sync.Mutex
	queue           []chunk // without empty ones
	records, queued int     // in queue, and their bytes
	guess           int     // bytes in one record
	received        entryID // the last entry that went into the queue
	numbers         numbers
	// unsettled are the entries that were fetched, in order, but for the settled ones at the beginning.
	unsettled []handed
	settled   []entryID // and not acknowledged yet
	atEnd     bool
	closed    bool
}

// handed is an entry that was fetched.
type handed struct {
	sequence uint64
	id       entryID
	done     bool
}

func newPartition(b *Broker, src source, f feed, stop <-chan struct{}) *partition {
	signal := func() chan struct{} { return make(chan struct{}, 1) }
	return &partition{
		b: b, src: src, feed: f, stop: stop, guess: firstGuess, atEnd: src.toEnd && src.end.compare(src.after) <= 0,
		arrived: signal(), space: signal(), trouble: signal(), dirty: signal(), told: make(chan struct{}),
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Fetch implements [broker.Partition].
func (p *partition) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	for {
		switch {
		case p.ctx.Err() != nil, p.b.gone.Err() != nil:
			return nil, p.lost()
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case p.stopping():
			return nil, io.EOF
		}
		deliveries, end := p.take(limit, maxBytes)
		if len(deliveries) > 0 {
			return deliveries, nil
		}
		if end {
			return nil, io.EOF
		}
		select {
		case <-p.arrived:
		case <-p.stop:
		case <-ctx.Done():
		case <-p.ctx.Done():
		}
	}
}

func (p *partition) stopping() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

func (p *partition) lost() error {
	cause := context.Cause(p.ctx)
	if cause == nil {
		cause = broker.ErrClosed // is about to be the cause
	}
	return fmt.Errorf("redis: partition %d of %s: %w", p.src.partition, p.src.topic.name, cause)
}

// take removes records from the queue, as far as they were read together.
func (p *partition) take(limit, maxBytes int) (deliveries []broker.Delivery, end bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 || limit == 0 {
		return nil, p.atEnd && len(p.queue) == 0
	}
	c := &p.queue[0]
	n, bytes := 0, 0
	for n < len(c.places) && n < limit && (n == 0 || bytes+c.places[n].size <= maxBytes) {
		bytes += c.places[n].size
		n++
	}
	deliveries = c.deliveries[:n:n]
	if p.src.group != "" {
		for i := range deliveries {
			p.unsettled = append(p.unsettled, handed{sequence: deliveries[i].Sequence, id: c.places[i].id})
		}
	}
	c.deliveries, c.places = c.deliveries[n:], c.places[n:]
	if len(c.places) == 0 {
		p.queue[0] = chunk{}
		p.queue = p.queue[1:]
	}
	p.records -= n
	p.queued -= bytes
	wake(p.space)
	return deliveries, false
}

// Settle implements [broker.Partition]. The server is told at once, by another goroutine; what was settled last is confirmed when the
// partition is given back.
func (p *partition) Settle(_ context.Context, s broker.Settlement) error {
	if p.ctx.Err() != nil {
		return p.lost()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("redis: partition %d of %s: %w", p.src.partition, p.src.topic.name, errGivenBack)
	}
	for _, sequence := range s.Done {
		if i, found := p.find(sequence); found {
			p.finish(&p.unsettled[i])
		}
	}
	first, _ := p.find(s.Next)
	for i := range first {
		p.finish(&p.unsettled[i])
	}
	n := 0
	for n < len(p.unsettled) && p.unsettled[n].done {
		n++
	}
	p.unsettled = p.unsettled[n:]
	if len(p.settled) > 0 {
		wake(p.dirty)
	}
	return nil
}

// find is where a sequence is among the unsettled, or would be.
func (p *partition) find(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(p.unsettled, sequence, func(h handed, sequence uint64) int { return cmp.Compare(h.sequence, sequence) })
}

func (p *partition) finish(h *handed) {
	if !h.done {
		h.done = true
		p.settled = append(p.settled, h.id)
	}
}

// acknowledge tells the server what is settled, one script after the other, until the partition is lost or was given back.
func (p *partition) acknowledge() {
	defer close(p.told)
	pause := newPause()
	for {
		ids, closed := p.unacknowledged()
		if len(ids) == 0 {
			if closed {
				return
			}
			select {
			case <-p.dirty:
				continue
			case <-p.ctx.Done():
				return
			}
		}
		ctx, cancel := context.WithTimeout(p.ctx, readTry)
		err := p.feed.settle(ctx, ids)
		cancel()
		if err == nil {
			p.mu.Lock()
			p.settled = p.settled[len(ids):]
			p.mu.Unlock()
			pause = newPause()
			continue
		}
		p.b.lookAgain(p.ctx)
		if errors.Is(err, errFence) {
			wake(p.trouble)
		}
		if !pause.wait(p.ctx, nil) {
			return
		}
	}
}

// unacknowledged are the next entries to acknowledge. Only acknowledge removes them.
func (p *partition) unacknowledged() (ids []entryID, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settled[:min(len(p.settled), maxAcks)], p.closed
}

// giveBack ends the partition's work in good order: what is settled is acknowledged before the next owner begins.
func (p *partition) giveBack() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	wake(p.dirty)
	wake(p.space)
	patience := time.NewTimer(lastWords)
	defer patience.Stop()
	select {
	case <-p.told:
	case <-p.ctx.Done():
	case <-patience.C:
		p.b.cfg.Log.LogAttrs(p.ctx, slog.LevelInfo, "the last settlements of a partition were not confirmed, some records may come again", p.src.attrs()...)
	}
}
