package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// How much a broker sends at a time, and of each partition. A batch that is larger comes all the same.
const (
	fetchBytes     = 16 << 20
	partitionBytes = 1 << 20
)

// fetcher asks one broker for the partitions that it leads, all together, again and again.
type fetcher struct {
	s      *source
	broker int32
	more   chan struct{} // when there is more to ask for
	seen   int           // the source's changes
}

// ask is what a fetcher wants of a partition.
type ask struct {
	p     *partition
	from  int64
	epoch int32
}

func (r *fetcher) run() {
	for r.s.ctx.Err() == nil {
		wanted, wait := r.wanted()
		if len(wanted) == 0 {
			select {
			case <-r.more:
			case <-r.s.ctx.Done():
			}
			continue
		}
		if err := r.read(wanted, wait); err != nil && r.s.ctx.Err() == nil {
			r.s.b.cfg.Log.LogAttrs(r.s.ctx, slog.LevelDebug, "reading from a broker failed and will be tried again",
				slog.Int("broker", int(r.broker)), slog.String("error", err.Error()))
			for at := range wanted {
				r.s.stray(at)
			}
			pause(r.s.ctx, 100*time.Millisecond)
		}
	}
}

// wanted returns what to ask for, in any order, so that each partition is first at times, and how long the broker may wait for records.
// It does not wait long while others are about to be asked for as well, which the answer would hold up.
func (r *fetcher) wanted() (map[place]ask, time.Duration) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	wait := fetchWait
	wanted := make(map[place]ask)
	for at, p := range r.s.parts {
		if r.s.leaders[at] != r.broker {
			continue
		}
		if a, ok := p.wants(); ok {
			wanted[at] = a
		} else {
			wait = fetchWait / 10
		}
	}
	if r.seen != r.s.changes {
		r.seen = r.s.changes
		wait = fetchWait / 50
	}
	return wanted, wait
}

// read asks once, and passes on what comes.
func (r *fetcher) read(wanted map[place]ask, wait time.Duration) error {
	req, names := r.request(wanted, wait)
	answer, err := r.s.cl.Broker(int(r.broker)).Request(r.s.ctx, req)
	if err != nil {
		return err
	}
	resp, ok := answer.(*kmsg.FetchResponse)
	if !ok {
		return fmt.Errorf("the answer is a %T", answer)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	idle := hasNothing(resp)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Topic == "" { // newer brokers answer with the topic's ID
			t.Topic = names[t.TopicID]
		}
		for j := range t.Partitions {
			a, ok := wanted[place{t.Topic, t.Partitions[j].Partition}]
			if !ok {
				continue
			}
			r.pass(a, &t.Partitions[j])
			if idle {
				a.p.skip(a.from, t.Partitions[j].LastStableOffset)
			}
		}
	}
	return nil
}

// hasNothing reports whether an answer has no records at all. Only then a partition without records has none: otherwise the others may have
// left no room for them.
func hasNothing(resp *kmsg.FetchResponse) bool {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if p := &resp.Topics[i].Partitions[j]; len(p.RecordBatches) > 0 || p.ErrorCode != 0 {
				return false
			}
		}
	}
	return true
}

// request makes a request, and returns the topics' names by their IDs.
func (r *fetcher) request(wanted map[place]ask, wait time.Duration) (*kmsg.FetchRequest, map[[16]byte]string) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(wait.Milliseconds())
	req.MinBytes = 1
	req.MaxBytes = fetchBytes
	req.IsolationLevel = 1 // what transactions have committed
	names := make(map[[16]byte]string)
	topics := make(map[string]int)
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for at, a := range wanted {
		n, ok := topics[at.topic]
		if !ok {
			n = len(req.Topics)
			topics[at.topic] = n
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = at.topic, r.s.ids[at.topic]
			names[t.TopicID] = at.topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.LastFetchedEpoch = at.partition, a.from, a.epoch
		p.PartitionMaxBytes = int32(min(r.s.b.cfg.PrefetchBytes, partitionBytes))
		req.Topics[n].Partitions = append(req.Topics[n].Partitions, p)
	}
	return req, names
}

// pass passes on what came of a partition.
func (r *fetcher) pass(a ask, read *kmsg.FetchResponseTopicPartition) {
	err := kerr.ErrorForCode(read.ErrorCode)
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange):
		r.s.restart(a.p, err)
	case err != nil:
		r.s.fail(a.p.place, err)
	case read.DivergingEpoch.EndOffset >= 0:
		r.s.complain(a.p.place, slog.LevelError, "a new leader does not have all records that were read; going on with those that took their places",
			fmt.Errorf("records from offset %d on were lost", read.DivergingEpoch.EndOffset))
		a.p.find(read.DivergingEpoch.EndOffset)
	default:
		a.p.put(a.from, read)
	}
}
