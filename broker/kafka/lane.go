package kafka

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tidings-go/tidings/broker"
)

// maxBatch is how large a batch may be, before compression, unless one record alone is larger or the topic takes less.
const maxBatch = 1 << 20

// lane is a partition as the producer sees it. The producer's lock guards it.
type lane struct {
	topic     *topic
	partition int32
	leader    int32

	gathered []entry // not on its way yet, oldest first
	flight   *batch  // on its way, or to be sent again
	state    laneState

	// producer, epoch and next are under what the next batch is sent. A negative producer has still to be asked for.
	producer int64
	epoch    int16
	next     int32
	// limit is how large a batch may be. It shrinks to find a record that the broker refuses.
	limit    int
	attempts int
	trouble  error // why the last attempt failed
}

type laneState int

const (
	idle    laneState = iota // nothing to send
	ready                    // a sender will take it
	flying                   // a sender has it
	resting                  // waits before the next attempt
)

// batch is what is sent and stored as one. What it holds does not change from attempt to attempt.
type batch struct {
	lane    *lane
	entries []entry
	wire    []byte
	topicID [16]byte
	// producer, epoch and next are what it is sent under.
	producer int64
	epoch    int16
	next     int32
	// encoded says that the records are not looked at any more. Before that the batch can't be given up.
	encoded bool
	// doubtful says that the batch may have been stored: an attempt was not answered.
	doubtful bool
}

// outcome is what an attempt to send a batch came to.
type outcome struct {
	base int64
	err  error
	// unknown says that nobody knows whether the batch was stored: there was no answer.
	unknown bool
}

func (l *lane) add(e entry) {
	l.gathered = append(l.gathered, e)
	if l.state == idle {
		l.enqueue()
	}
}

// enqueue lets the leader's sender take the lane.
func (l *lane) enqueue() {
	l.state = ready
	l.topic.p.senderOf(l.leader).add(l)
}

// take returns the batch to be sent, a new one if none is on its way.
func (l *lane) take() *batch {
	l.state = flying
	if l.flight == nil {
		l.flight = l.cut()
	}
	l.flight.topicID = l.topic.id
	l.flight.producer, l.flight.epoch, l.flight.next = l.producer, l.epoch, l.next
	return l.flight
}

// cut makes a batch of the oldest that has gathered.
func (l *lane) cut() *batch {
	n, size := 0, 0
	for n < len(l.gathered) && (n == 0 || size+l.gathered[n].size <= l.limit) {
		size += l.gathered[n].size
		n++
	}
	b := &batch{lane: l, entries: l.gathered[:n:n]}
	l.gathered = l.gathered[n:]
	if len(l.gathered) == 0 {
		l.gathered = nil
	}
	return b
}

// settle decides what follows from an attempt. It returns what the callers must be told.
func (l *lane) settle(b *batch, o outcome) (stored bool, failed []failure) {
	if l.flight != b {
		return false, nil // It was given up meanwhile.
	}
	l.state = idle
	b.doubtful = b.doubtful || o.unknown
	switch {
	case o.err == nil:
		l.flight = nil
		l.next = advance(l.next, len(b.entries))
		l.attempts, l.trouble = 0, nil
		l.limit = min(l.limit*2, l.topic.limit)
		l.proceed()
		return true, nil
	case o.unknown, kerr.IsRetriable(o.err) && !isForgotten(o.err):
		l.retry(o.err)
	case isForgotten(o.err):
		// The partition lost what it knew of us. Nothing is behind this batch, so it is safe to begin anew with it.
		l.renew()
		l.retry(o.err)
	case isRecordsFault(o.err):
		failed = l.search(b, o.err)
	default:
		failed = l.giveUp(o.err)
	}
	return false, failed
}

// proceed goes on with what has gathered.
func (l *lane) proceed() {
	if len(l.gathered) == 0 {
		l.state = idle
		return
	}
	l.enqueue()
}

// retry sends the same again, after a while.
func (l *lane) retry(err error) {
	const shortest, longest = 10 * time.Millisecond, 500 * time.Millisecond
	l.trouble = err
	l.state = resting
	wait := min(shortest<<min(l.attempts, 10), longest)
	l.attempts++
	l.topic.refresh()
	p := l.topic.p
	time.AfterFunc(wait/2+rand.N(wait/2), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.state == resting {
			l.enqueue()
		}
	})
}

// search finds the record at fault: the broker refused a batch for one of its records, and stored nothing of it.
func (l *lane) search(b *batch, err error) []failure {
	l.leave(b)
	if len(b.entries) == 1 {
		l.proceed()
		return []failure{{b.entries[0], permanent(err)}}
	}
	l.gathered = append(b.entries, l.gathered...)
	l.limit = size(b.entries) / 2
	l.proceed()
	return nil
}

// giveUp fails everything that is in the lane. It fails nothing while a batch is being encoded: there will be another occasion.
func (l *lane) giveUp(err error) []failure {
	if l.flight != nil && !l.flight.encoded {
		return nil
	}
	entries := l.gathered
	if l.flight != nil {
		entries = append(l.flight.entries, entries...)
		l.leave(l.flight)
	}
	failed := make([]failure, len(entries))
	for i := range entries {
		failed[i] = failure{entries[i], explain(err)}
		if i > 0 {
			failed[i].err = fmt.Errorf("an earlier record of its partition failed: %w", explain(err))
		}
	}
	l.gathered = nil
	l.attempts, l.trouble = 0, nil
	if l.state != ready {
		l.state = idle
	}
	return failed
}

// leave gives up the batch that was on its way. What comes after it fences it off, should it still arrive.
func (l *lane) leave(b *batch) {
	l.flight = nil
	if b.doubtful || l.state == flying {
		l.renew()
	}
}

// expire gives up when the oldest record has waited for too long.
func (l *lane) expire(now time.Time) []failure {
	oldest := l.gathered
	if l.flight != nil {
		oldest = l.flight.entries
	}
	if len(oldest) == 0 || now.Before(oldest[0].call.deadline) {
		return nil
	}
	return l.giveUp(l.topic.timeout(l.trouble))
}

// renew begins a new epoch, or a new life when there are no more epochs.
func (l *lane) renew() {
	l.next = 0
	if l.epoch++; l.epoch == math.MaxInt16 {
		l.epoch, l.producer = 0, -1
		l.topic.p.identity = -1
	}
}

// advance is the sequence number after n records. They wrap around at 2^31.
func advance(next int32, n int) int32 { return int32((int64(next) + int64(n)) & math.MaxInt32) }

func size(entries []entry) int {
	n := 0
	for i := range entries {
		n += entries[i].size
	}
	return n
}

// isForgotten reports whether the partition no longer knows us, or not as we think it should.
func isForgotten(err error) bool {
	return errors.Is(err, kerr.OutOfOrderSequenceNumber) || errors.Is(err, kerr.UnknownProducerID) ||
		errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.InvalidProducerIDMapping)
}

// isRecordsFault reports whether a batch was refused for what is in it.
func isRecordsFault(err error) bool { return isTooLarge(err) || isInvalid(err) }

func isTooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

func isInvalid(err error) bool {
	return errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.InvalidTimestamp)
}

func permanent(err error) error {
	if isTooLarge(err) {
		return fmt.Errorf("%w: %w", broker.ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", broker.ErrInvalid, err)
}
