// Package room bounds what a broker adapter buffers ahead of its server.
package room

import (
	"context"
	"sync"
)

// Room is what may be buffered, in records and bytes. Who doesn't fit in waits for his turn, first come first served.
type Room struct {
	mu             sync.Mutex
	records, bytes int // free
	capacity       int // in bytes
	waiting        []*guest
}

type guest struct {
	bytes int
	in    chan struct{}
}

// New makes an empty room.
func New(records, bytes int) *Room { return &Room{records: records, bytes: bytes, capacity: bytes} }

// Enter takes room for one record, and waits for it until ctx ends, whose cause it then returns. One that is larger than the whole room enters when the room is empty.
func (r *Room) Enter(ctx context.Context, bytes int) error {
	g := &guest{bytes: min(bytes, r.capacity), in: make(chan struct{})}
	r.mu.Lock()
	r.waiting = append(r.waiting, g)
	r.callIn()
	r.mu.Unlock()
	select {
	case <-g.in:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.waiting {
		if other == g {
			r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
			r.callIn()
			return context.Cause(ctx)
		}
	}
	return nil // it was let in at the last moment
}

// TryEnter is Enter for who can do something else instead of waiting.
func (r *Room) TryEnter(bytes int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting) == 0 && r.admit(min(bytes, r.capacity))
}

// Leave gives back the room of a record that was as large when it entered.
func (r *Room) Leave(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records++
	r.bytes += min(bytes, r.capacity)
	r.callIn()
}

func (r *Room) admit(bytes int) bool {
	if r.records < 1 || r.bytes < bytes {
		return false
	}
	r.records--
	r.bytes -= bytes
	return true
}

func (r *Room) callIn() {
	for len(r.waiting) > 0 && r.admit(r.waiting[0].bytes) {
		close(r.waiting[0].in)
		r.waiting = r.waiting[1:]
	}
}
