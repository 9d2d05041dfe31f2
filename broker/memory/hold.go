package memory

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tidings-go/tidings/broker"
)

// errLost is why a partition that has a new owner gives nothing more.
var errLost = errors.New("the partition was lost")

// state of a hold: it only grows.
type state int

const (
	owned    state = iota
	draining       // to be given back: Fetch returns io.EOF
	lost           // over: it was given back, or its client was closed
)

// hold is one partition in the hands of one call of each.
type hold struct {
	server    *server
	topic     *topic
	partition *partition
	member    *member
	unit      *unit         // nil without a group
	wake      chan struct{} // Fetch waits for it
	cancel    func()        // ends the context of the call; used by its Consume only

	// The topic's lock guards what follows.
	state   state
	read    uint64 // the sequence that is fetched next
	end     uint64 // where a reader to the end stops; 0: nowhere
	cursor  *cursor
	waiting bool
}

var _ broker.Partition = (*hold)(nil)

// Fetch implements [broker.Partition]. What it returns belongs to the caller.
func (h *hold) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	if err := h.server.fault("fetch", h.topic.name); err != nil {
		return nil, h.failed("fetch from", err)
	}
	for {
		deliveries, err := h.next(limit, maxBytes)
		switch {
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		case err != nil:
			return nil, h.failed("fetch from", err)
		case deliveries != nil:
			detach(deliveries)
			return deliveries, nil
		}
		select {
		case <-h.wake:
		case <-ctx.Done():
			return nil, h.failed("fetch from", context.Cause(ctx))
		}
	}
}

func (h *hold) failed(what string, err error) error {
	return fmt.Errorf("memory: %s %s/%d: %w", what, h.topic.name, h.partition.number, err)
}

// next takes what there is. Neither deliveries nor an error means that the caller is to wait.
func (h *hold) next(limit, maxBytes int) ([]broker.Delivery, error) {
	h.topic.mu.Lock()
	defer h.topic.mu.Unlock()
	switch {
	case h.state == lost:
		return nil, errLost
	case h.state == draining, h.end != 0 && h.read >= h.end:
		return nil, io.EOF
	}
	end := h.partition.next
	if h.end != 0 {
		end = min(end, h.end)
	}
	n, size := 0, 0
	for s := h.read; s < end && n < limit; s++ {
		size += h.partition.at(s).Size()
		if n > 0 && size > maxBytes {
			break
		}
		n++
	}
	if n == 0 {
		h.waiting = true
		return nil, nil
	}
	deliveries := make([]broker.Delivery, n)
	for i := range deliveries {
		deliveries[i] = *h.partition.at(h.read)
		h.read++
	}
	return deliveries, nil
}

// Settle implements [broker.Partition]. This broker is a log: it uses Next.
func (h *hold) Settle(_ context.Context, s broker.Settlement) error {
	err := h.server.fault("settle", h.topic.name)
	if err == nil {
		err = h.settle(s.Next)
	}
	if err != nil {
		return h.failed("settle", err)
	}
	return nil
}

func (h *hold) settle(next uint64) error {
	h.topic.mu.Lock()
	defer h.topic.mu.Unlock()
	switch {
	case h.state == lost:
		return errLost
	case next > h.read:
		return fmt.Errorf("next is %d, but what was fetched ends before %d: %w", next, h.read, broker.ErrInvalid)
	case h.cursor == nil || next <= h.cursor.next:
		return nil // nothing is remembered, or nothing is new
	}
	h.cursor.next = next
	h.partition.trim()
	return nil
}

// attach lets h begin where its group stands.
func (h *hold) attach() {
	h.topic.mu.Lock()
	defer h.topic.mu.Unlock()
	if h.cursor != nil {
		h.read = h.cursor.next
	}
	h.partition.readers = append(h.partition.readers, h)
}

// drain makes Fetch return io.EOF.
func (h *hold) drain() {
	h.topic.mu.Lock()
	defer h.topic.mu.Unlock()
	h.state = max(h.state, draining)
	h.wakeUp()
}

// detach ends ownership: from now on nothing that h does has an effect.
func (h *hold) detach() {
	h.topic.mu.Lock()
	defer h.topic.mu.Unlock()
	h.state = lost
	h.partition.readers = without(h.partition.readers, h)
	h.wakeUp()
}

// wakeUp lets a waiting Fetch look again. The topic's lock is held.
func (h *hold) wakeUp() {
	h.waiting = false
	select {
	case h.wake <- struct{}{}:
	default:
	}
}
