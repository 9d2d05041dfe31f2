package postgres

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// How much of one lane is kept in memory. A lane that has so much is left out until its owner has taken some.
const (
	laneRows  = 2048
	laneBytes = 4 << 20
)

// errReturned ends the context of a lane whose owner has returned.
var errReturned = errors.New("the lane was given back")

// lane is the ready rows of one lane while this process owns it. The link's reader fills it.
type lane struct {
	r      *reader
	number int
	name   string // the lane column's value, in text
	wire   string // and in binary
	// stop is closed when the lane is to be given back, done when Lanes is to end.
	stop, done <-chan struct{}
	// fresh reports an error when the lease has run out, whether or not anybody has noticed yet.
	fresh func() error
	lost  context.CancelCauseFunc
	wake  chan struct{} // has a token when there may be something new

	mu     sync.Mutex
	buffer []broker.Delivery
	bytes  int
	// open are the rows that were read and are not deleted, with their slots.
	open map[int64]int16
	// full is since when there was no room.
	full time.Time
	err  error // why the lane is no longer owned

	// cover is what was read. Only the reader's goroutine uses it.
	cover coverage
}

var _ broker.Partition = (*lane)(nil)

// Fetch implements [broker.Partition].
func (l *lane) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	for {
		select {
		case <-l.stop:
			return nil, io.EOF
		case <-l.done:
			return nil, io.EOF
		default:
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		deliveries, err := l.take(limit, maxBytes)
		if err != nil || len(deliveries) > 0 {
			return deliveries, explain("fetch", err)
		}
		select {
		case <-ctx.Done():
		case <-l.stop:
		case <-l.done:
		case <-l.wake:
		}
	}
}

// take takes what is there, without waiting.
func (l *lane) take(limit, maxBytes int) ([]broker.Delivery, error) {
	if err := l.fresh(); err != nil {
		l.lose(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	n, size := 0, 0
	for n < min(limit, len(l.buffer)) && size < maxBytes {
		size += l.buffer[n].Size()
		n++
	}
	deliveries := l.buffer[:n:n]
	l.buffer = l.buffer[n:]
	l.bytes -= size
	if n > 0 {
		l.full = time.Time{}
		l.r.room()
	}
	return deliveries, nil
}

// add takes a row from the reader, and reports whether the lane had none before. A row that the lane knows already is left out: that is so only while
// everything is read again.
func (l *lane) add(row *fetched) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return false
	}
	id := int64(row.delivery.Sequence)
	if _, known := l.open[id]; known {
		return false
	}
	l.open[id] = row.slot
	l.buffer = append(l.buffer, row.delivery)
	l.bytes += row.delivery.Size()
	return len(l.buffer) == 1
}

// load is how much waits in memory, and since when that is too much.
func (l *lane) load(now time.Time) (rows, bytes int, full time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buffer) < laneRows && l.bytes < laneBytes {
		l.full = time.Time{}
	} else if l.full.IsZero() {
		l.full = now
	}
	return len(l.buffer), l.bytes, l.full
}

// knows reports whether a row has been read and is not deleted.
func (l *lane) knows(id int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.open[id]
	return known
}

// lose ends the lane. What was read ahead is dropped: it may not be true any more.
func (l *lane) lose(why error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = why
		l.buffer = nil
	}
	l.mu.Unlock()
	l.lost(why)
	wake(l.wake)
}

// Settle implements [broker.Partition]: it deletes the rows that are done. What has been moved elsewhere meanwhile stays.
func (l *lane) Settle(ctx context.Context, settled broker.Settlement) error {
	if len(settled.Done) == 0 {
		return nil
	}
	if err := l.fresh(); err != nil {
		l.lose(err)
	}
	ids, err := l.bySlot(settled.Done)
	if err == nil {
		err = l.r.link.settler.settle(ctx, ids)
	}
	if err != nil {
		return explain("settle", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range settled.Done {
		delete(l.open, int64(id))
	}
	return nil
}

// slotIDs are ids by the slot that the row is in. The last are letters.
type slotIDs [slots + 1][]int64

// bySlot finds the slots of rows that were fetched. Others are nobody's business here.
func (l *lane) bySlot(done []uint64) (ids slotIDs, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return ids, l.err
	}
	for _, id := range done {
		if slot, ok := l.open[int64(id)]; ok {
			ids[slot] = append(ids[slot], int64(id))
		}
	}
	return ids, nil
}

// wake puts a token into a channel that has room for one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
