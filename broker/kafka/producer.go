package kafka

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidings-go/tidings/broker"
)

// producer stores records, in order.
//
// It encodes and sends batches itself, over the client's connections. The client's own producer fails everything behind a record that the broker
// refuses, where here the record at fault is found and its neighbours are stored; it costs about twice the work for each record; and how
// a batch is given up when nobody knows whether it was stored is better seen than trusted, because order rests on it:
//
// A partition has one batch on its way at a time, while the next one gathers. A batch with an unknown outcome is sent again
// as it was, under the same sequence number, so that it is stored once. A batch that is given up takes everything behind it along, and the partition's
// epoch grows: should the old batch still arrive, by whatever detour, the broker refuses it as soon as it has anything newer.
type producer struct {
	cfg   Config
	cl    *kgo.Client
	seeds string // for errors
	code  encoder
	// ctx ends when nothing is to be sent any more.
	ctx     context.Context
	cancel  context.CancelFunc
	working sync.WaitGroup

	mu             sync.Mutex // guards what follows, and all topics, lanes and senders
	topics         map[string]*topic
	senders        map[int32]*sender
	records, bytes int
	room           chan struct{} // closed and made anew whenever room was freed
	closed         bool
	identity       int64 // the producer's ID; negative until it has one
	introducing    sync.Mutex
}

func newProducer(b *Broker, compressor kgo.Compressor) *producer {
	p := &producer{
		cfg: b.cfg, cl: b.cl, seeds: b.seeds, code: encoder{compressor: compressor},
		topics: map[string]*topic{}, senders: map[int32]*sender{}, room: make(chan struct{}), identity: -1,
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.working.Go(p.watch)
	return p
}

// close waits until everything accepted is stored or has failed, which takes at most the publish timeout.
func (p *producer) close() {
	p.mu.Lock()
	p.closed = true
	for p.records > 0 {
		room := p.room
		p.mu.Unlock()
		<-room
		p.mu.Lock()
	}
	for _, s := range p.senders {
		s.stop()
	}
	p.cancel()
	p.mu.Unlock()
	p.working.Wait()
}

// watch gives up what has waited too long.
func (p *producer) watch() {
	tick := time.NewTicker(min(250*time.Millisecond, p.cfg.PublishTimeout/8+1))
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case now := <-tick.C:
			p.expire(now)
		}
	}
}

func (p *producer) expire(now time.Time) {
	p.mu.Lock()
	var failed []failure
	for _, t := range p.topics {
		failed = append(failed, t.expire(now)...)
	}
	p.mu.Unlock()
	p.conclude(failed)
}

// conclude tells callers what failed and gives the room back after that, so that who waits for the end has heard everything.
func (p *producer) conclude(failed []failure) {
	if len(failed) == 0 {
		return
	}
	report(failed)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range failed {
		p.free([]entry{failed[i].entry})
	}
}

// topicOf returns a topic, which may still have to be looked up; the lock is held.
func (p *producer) topicOf(name string) (*topic, error) {
	if t := p.topics[name]; t != nil {
		return t, nil
	}
	if err := checkName("topic", name); err != nil {
		return nil, err
	}
	t := &topic{p: p, name: name, limit: maxBatch}
	p.topics[name] = t
	return t, nil
}

// senderOf returns who sends to a broker; the lock is held.
func (p *producer) senderOf(leader int32) *sender {
	s := p.senders[leader]
	if s == nil {
		s = newSender(p, leader)
		p.senders[leader] = s
	}
	return s
}

// introduce returns the producer's ID, which the cluster assigns at first use.
func (p *producer) introduce() (int64, error) {
	p.introducing.Lock()
	defer p.introducing.Unlock()
	p.mu.Lock()
	id := p.identity
	p.mu.Unlock()
	if id >= 0 {
		return id, nil
	}
	ctx, cancel := context.WithTimeout(p.ctx, askTimeout)
	defer cancel()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.ProducerID, req.ProducerEpoch = -1, -1
	resp, err := req.RequestWith(ctx, p.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return -1, fmt.Errorf("get a producer ID: %w", explain(err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.identity = resp.ProducerID
	return resp.ProducerID, nil
}

// receipt says where a record of a batch is.
func (b *batch) receipt(i int, base int64) broker.Receipt {
	if base < 0 {
		return broker.Receipt{Topic: b.lane.topic.name, Partition: int(b.lane.partition)}
	}
	return broker.Receipt{Topic: b.lane.topic.name, Partition: int(b.lane.partition), Sequence: sequence(base + int64(i))}
}
