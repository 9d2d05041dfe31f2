package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// tenure is the time for which this process owns a place: from its assignment to its loss. Within it the reader's function has the
// partition once or, if it returns early, several times.
type tenure struct {
	place
	source *source
	each   func(context.Context, broker.Partition)
	// known is the group's position when the tenure begins. Negative: it has none, and from finds out where to begin.
	known int64
	from  func(ctx context.Context) (int64, error)
	// until is where a reader to the end stops. Negative: nowhere.
	until int64
	// dirty is called when there is something new to commit. It may be nil.
	dirty func()
	// done is closed when the reader's function has returned for the last time, before what it settled is committed.
	done chan struct{}

	ctx    context.Context //nolint:containedctx // It is the owner's: its end ends all partitions.
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards what follows
	current *partition
	ending  bool
	// position is where the next owner begins, committed what the group already knows of it. Negative: unknown.
	position, committed int64
	// released says that the place may be somebody else's: nothing is committed any more.
	released bool
}

// init prepares the tenure to run. What it derives from ctx ends only when the partition is taken away.
func (t *tenure) init(ctx context.Context) {
	t.done = make(chan struct{})
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	t.position, t.committed = t.known, t.known
}

// run offers the partition to the reader until it is lost or to be given back. It waits for the tenure before it, if there was one.
func (t *tenure) run(before *tenure) {
	defer close(t.done)
	if before != nil {
		select {
		case <-before.done:
		case <-t.ctx.Done():
			return
		}
	}
	if t.known < 0 {
		position, err := t.from(t.ctx)
		if err != nil {
			return // Only the end of the tenure is an error.
		}
		t.settle(position)
	}
	for t.offer() {
		// The reader gave the partition back early. A moment of rest, in case that it always does.
		if !pause(t.ctx, 10*time.Millisecond) {
			return
		}
	}
}

// offer calls the reader's function once. It reports whether to do so again.
func (t *tenure) offer() bool {
	t.mu.Lock()
	if t.ending || t.ctx.Err() != nil {
		t.mu.Unlock()
		return false
	}
	p := newPartition(t.ctx, t.place, t.source, t.position, t.until)
	p.settled = func() { t.settle(p.position) }
	t.current = p
	t.mu.Unlock()

	t.source.begin(p)
	t.each(p.ctx, p)
	ended := p.close(errGivenBack)
	t.source.end(p)
	return !ended
}

// settle notes a position.
func (t *tenure) settle(position int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if position > t.position && t.ctx.Err() == nil {
		t.position = position
		if t.dirty != nil {
			t.dirty()
		}
	}
}

// end asks for the partition back.
func (t *tenure) end() {
	t.mu.Lock()
	t.ending = true
	p := t.current
	t.mu.Unlock()
	if p != nil {
		p.end()
	}
}

// lose takes the partition away at once.
func (t *tenure) lose(why error) {
	t.mu.Lock()
	t.ending = true
	t.mu.Unlock()
	t.cancel(why)
}

// isOver reports whether the partition is, or is about to be, somebody else's.
func (t *tenure) isOver() bool { return t.ctx.Err() != nil }

// uncommitted returns a position that the group does not know yet.
func (t *tenure) uncommitted() (int64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.position, t.position > t.committed && !t.released
}

// release is lose after which nothing is committed.
func (t *tenure) release() {
	t.lose(errLost)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.released = true
}

func (t *tenure) setCommitted(position int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.committed = max(t.committed, position)
}
