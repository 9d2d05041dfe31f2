package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// pipeline is how many requests to one broker are on their way at a time. While they are, records gather: so an idle producer waits for
	// nothing and a busy one makes large batches, without any setting.
	pipeline = 2
	// maxRequest is about how large one request gets.
	maxRequest = 8 << 20
	// large batches have so many records that encoding them is worth a goroutine.
	large = 64
)

var errNoAnswer = errors.New("the broker's answer has nothing about the batch")

// sender carries batches to one broker. The producer's lock guards it.
type sender struct {
	p       *producer
	leader  int32
	ready   []*lane
	stopped bool
	more    sync.Cond
}

func newSender(p *producer, leader int32) *sender {
	s := &sender{p: p, leader: leader}
	s.more.L = &p.mu
	for range pipeline {
		p.working.Go(s.run)
	}
	return s
}

func (s *sender) add(l *lane) {
	s.ready = append(s.ready, l)
	s.more.Signal()
}

func (s *sender) stop() {
	s.stopped = true
	s.more.Broadcast()
}

func (s *sender) run() {
	var batches []*batch
	for {
		if batches = s.collect(batches[:0]); len(batches) == 0 {
			return
		}
		s.p.encode(batches)
		outcomes := s.send(batches)
		s.p.finish(batches, outcomes)
	}
}

// collect waits for lanes that have something to send, and takes a batch of each. It returns none when the sender has stopped.
func (s *sender) collect(batches []*batch) []*batch {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for len(batches) == 0 && !s.stopped {
		if len(s.ready) == 0 {
			s.more.Wait()
		}
		batches = s.take(batches)
	}
	return batches
}

func (s *sender) take(batches []*batch) []*batch {
	taken, bytes := 0, 0
	for ; taken < len(s.ready) && bytes < maxRequest; taken++ {
		l := s.ready[taken]
		switch {
		case l.flight == nil && len(l.gathered) == 0:
			l.state = idle // It was given up while it was in the queue.
		case l.leader != s.leader:
			l.enqueue()
		default:
			b := l.take()
			bytes += size(b.entries)
			batches = append(batches, b)
		}
	}
	s.ready = append(s.ready[:0], s.ready[taken:]...)
	return batches
}

// encode makes the bytes of new batches, of large ones beside each other.
func (p *producer) encode(batches []*batch) {
	var encoding sync.WaitGroup
	for i, b := range batches {
		switch {
		case b.wire != nil:
		case i < len(batches)-1 && len(b.entries) >= large:
			encoding.Go(func() { b.wire = p.code.encode(b.entries) })
		default:
			b.wire = p.code.encode(b.entries)
		}
	}
	encoding.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range batches {
		b.encoded = true
	}
}

// send makes one attempt to store batches.
func (s *sender) send(batches []*batch) []outcome {
	outcomes := make([]outcome, len(batches))
	if err := s.p.sign(batches); err != nil {
		return all(outcomes, outcome{err: err, unknown: !isRefusal(err)})
	}
	answer, err := s.p.cl.Broker(int(s.leader)).Request(s.p.ctx, request(batches))
	resp, ok := answer.(*kmsg.ProduceResponse)
	if err != nil || !ok {
		return all(outcomes, outcome{err: fmt.Errorf("send to broker %d: %w", s.leader, err), unknown: true})
	}
	all(outcomes, outcome{err: errNoAnswer, unknown: true})
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			if n := find(batches, t, t.Partitions[j].Partition); n >= 0 {
				outcomes[n] = judge(&t.Partitions[j])
			}
		}
	}
	return outcomes
}

func all(outcomes []outcome, o outcome) []outcome {
	for i := range outcomes {
		outcomes[i] = o
	}
	return outcomes
}

// sign writes into the batches who sends them.
func (p *producer) sign(batches []*batch) error {
	for _, b := range batches {
		if b.producer < 0 {
			id, err := p.introduce()
			if err != nil {
				return err
			}
			p.mu.Lock()
			b.producer, b.lane.producer = id, id
			p.mu.Unlock()
		}
		sign(b.wire, b.producer, b.epoch, b.next)
	}
	return nil
}

func request(batches []*batch) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks = -1
	req.TimeoutMillis = int32(attemptTimeout.Milliseconds())
	for _, b := range batches {
		n := len(req.Topics) - 1
		if n < 0 || req.Topics[n].Topic != b.lane.topic.name {
			t := kmsg.NewProduceRequestTopic()
			t.Topic, t.TopicID = b.lane.topic.name, b.topicID
			req.Topics = append(req.Topics, t)
			n++
		}
		partition := kmsg.NewProduceRequestTopicPartition()
		partition.Partition, partition.Records = b.lane.partition, b.wire
		req.Topics[n].Partitions = append(req.Topics[n].Partitions, partition)
	}
	return req
}

// find returns which batch an answer is about. Newer brokers answer with the topic's ID, older ones with its name.
func find(batches []*batch, t *kmsg.ProduceResponseTopic, partition int32) int {
	for i, b := range batches {
		if b.lane.partition == partition && (t.Topic == b.lane.topic.name || t.Topic == "" && t.TopicID == b.topicID) {
			return i
		}
	}
	return -1
}

func judge(answer *kmsg.ProduceResponseTopicPartition) outcome {
	err := kerr.ErrorForCode(answer.ErrorCode)
	switch {
	case errors.Is(err, kerr.DuplicateSequenceNumber):
		return outcome{base: -1} // It is stored; the broker no longer knows where.
	case errors.Is(err, kerr.RequestTimedOut), errors.Is(err, kerr.NotEnoughReplicasAfterAppend):
		return outcome{err: err, unknown: true}
	case err != nil && answer.ErrorMessage != nil:
		return outcome{err: fmt.Errorf("%w: %s", err, *answer.ErrorMessage)}
	default:
		return outcome{base: answer.BaseOffset, err: err}
	}
}

// finish tells lanes and callers what became of batches.
func (p *producer) finish(batches []*batch, outcomes []outcome) {
	var failed []failure
	stored := make([]bool, len(batches))
	p.mu.Lock()
	for i, b := range batches {
		var more []failure
		stored[i], more = b.lane.settle(b, outcomes[i])
		failed = append(failed, more...)
	}
	p.mu.Unlock()
	for i, b := range batches {
		if stored[i] {
			for j := range b.entries {
				b.entries[j].call.done(b.entries[j].index, b.receipt(j, outcomes[i].base), nil)
			}
		}
	}
	p.mu.Lock()
	for i, b := range batches {
		if stored[i] {
			p.free(b.entries)
		}
	}
	p.mu.Unlock()
	p.conclude(failed)
}

// pause waits for d and says whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
