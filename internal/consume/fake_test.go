package consume_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

var errLost = errors.New("ownership was lost")

// topic is a broker in memory with all that a test wants to do to it. Each partition is a log; in queue mode a partition is
// delivered again without what was acknowledged, else from the last position.
type topic struct {
	queue bool
	tapes []*tape
}

type tape struct {
	topic  *topic
	number int

	mu        sync.Mutex
	changed   chan struct{}
	records   []broker.Delivery
	next      uint64
	acked     map[uint64]bool
	held      *session
	broken    []string        // violations of the port's rules
	finished  map[uint64]bool // what the handlers say, whatever was settled
	settled   int             // calls of Settle
	settleErr error
	ending    bool          // Fetch says io.EOF at the end
	gate      chan struct{} // Settle waits until it is closed
	once      bool          // it is not offered again
	silent    bool          // don't check each record at each settlement
}

type session struct {
	*tape
	at     int
	top    uint64
	lost   bool
	giveUp bool
	cancel context.CancelFunc
	limits []int // of the fetches
}

func newTopic(partitions int) *topic {
	t := &topic{}
	for i := range partitions {
		t.tapes = append(t.tapes, &tape{
			topic: t, number: i, changed: make(chan struct{}), acked: map[uint64]bool{}, finished: map[uint64]bool{},
		})
	}
	return t
}

// append adds a record with the sequence after the last one and gap more.
func (t *tape) append(key, value string, gap uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.add(key, value, gap)
}

// appendFinished appends a record that may be settled from the moment it is there.
func (t *tape) appendFinished(key, value string, gap uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finished[t.add(key, value, gap)] = true
}

func (t *tape) add(key, value string, gap uint64) uint64 {
	sequence := gap
	if n := len(t.records); n > 0 {
		sequence = t.records[n-1].Sequence + 1 + gap
	}
	t.records = append(t.records, broker.Delivery{
		Record:    broker.Record{Topic: "t", Key: key, Value: []byte(value)},
		Partition: t.number,
		Sequence:  sequence,
	})
	t.notify()
	return sequence
}

func (t *tape) notify() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// lose takes the partition away at once; revoke asks for it back.
func (t *tape) lose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held != nil {
		t.held.lost = true
		t.held.cancel()
		t.notify()
	}
}

func (t *tape) revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held != nil {
		t.held.giveUp = true
		t.notify()
	}
}

func (t *tape) finish(sequence uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finished[sequence] = true
}

// allSettled says whether nothing would be delivered to the next owner.
func (t *tape) allSettled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.records {
		if !t.settledBefore(d.Sequence) {
			return false
		}
	}
	return true
}

func (t *tape) settledBefore(sequence uint64) bool {
	if t.topic.queue {
		return t.acked[sequence]
	}
	return sequence < t.next
}

func (t *tape) calls() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.settled
}

func (t *tape) breaks(format string, args ...any) {
	t.broken = append(t.broken, fmt.Sprintf("partition %d: "+format, append([]any{t.number}, args...)...))
}

// source offers every partition, again and again, until ctx ends.
func (t *topic) source(ctx context.Context, each func(context.Context, broker.Partition)) error {
	var wg sync.WaitGroup
	for _, p := range t.tapes {
		wg.Go(func() {
			for ctx.Err() == nil {
				p.offer(ctx, each)
				if p.once {
					return
				}
			}
		})
	}
	wg.Wait()
	return nil
}

func (t *tape) offer(ctx context.Context, each func(context.Context, broker.Partition)) {
	owned, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &session{tape: t, cancel: cancel}
	stop := context.AfterFunc(ctx, t.revoke)
	defer stop()
	t.mu.Lock()
	t.held = s
	s.giveUp = ctx.Err() != nil
	t.mu.Unlock()
	each(owned, s)
	t.mu.Lock()
	t.held = nil
	t.mu.Unlock()
}

func (s *session) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	if limit < 0 || (limit > 0 && maxBytes < 1) {
		return nil, fmt.Errorf("fetch of %d messages, %d bytes", limit, maxBytes)
	}
	if limit > 0 {
		s.mu.Lock()
		s.limits = append(s.limits, limit)
		s.mu.Unlock()
	}
	for {
		deliveries, changed, err := s.look(limit, maxBytes)
		if err != nil || len(deliveries) > 0 {
			return deliveries, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *session) look(limit, maxBytes int) ([]broker.Delivery, chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lost:
		return nil, nil, errLost
	case s.giveUp:
		return nil, nil, io.EOF
	}
	var found []broker.Delivery
	for s.at < len(s.records) && len(found) < limit && maxBytes > 0 {
		d := s.records[s.at]
		s.at++
		if s.settledBefore(d.Sequence) {
			continue
		}
		found = append(found, d)
		s.top = d.Sequence
		maxBytes -= d.Size()
	}
	if len(found) == 0 && s.at == len(s.records) && s.ending {
		return nil, nil, io.EOF
	}
	return found, s.changed, nil
}

func (s *session) Settle(ctx context.Context, x broker.Settlement) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled++
	switch {
	case s.held != s || s.lost:
		return errLost
	case s.settleErr != nil:
		return s.settleErr
	}
	for _, sequence := range x.Done {
		if !s.finished[sequence] {
			s.breaks("%d was settled but is not finished", sequence)
		}
		if s.topic.queue && s.acked[sequence] {
			s.breaks("%d was settled twice", sequence)
		}
		s.acked[sequence] = true
	}
	if x.Next < s.next || x.Next > s.top+1 {
		s.breaks("next went from %d to %d, the last fetched is %d", s.next, x.Next, s.top)
	}
	for _, d := range s.records {
		if s.silent {
			break
		}
		if d.Sequence < x.Next && !s.finished[d.Sequence] {
			s.breaks("next is %d but %d is not finished", x.Next, d.Sequence)
		}
	}
	s.next = x.Next
	return nil
}

// pause waits for d, or until ctx ends, whose error it returns then.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 { // A timer that is due at once, in two goroutines of a bubble, crashes the race detector (golang/go#78156).
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
