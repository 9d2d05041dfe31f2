package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// source reads partitions from the brokers, ahead of who handles them. It knows nothing of groups: a member tells it what to read and from
// where. So reading never waits for a rebalance, nor a rebalance for reading.
type source struct {
	b  *Broker
	cl *kgo.Client

	mu    sync.Mutex // guards what follows
	parts map[place]*partition
	// changes are made by the reading goroutine between two polls, so that nothing polled before is taken for something after.
	changes []change
	stir    context.CancelFunc // ends the poll that waits
}

// change begins reading a partition, or ends it.
type change struct {
	place
	begin *partition // nil: end
}

func newSource(b *Broker) (*source, error) {
	cl, err := b.client(
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Marks of transactions are needed to know that the end was reached.
		kgo.KeepControlRecords(),
		// When retention was faster than we, go on with what is left.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxBytes(16<<20),
		kgo.FetchMaxPartitionBytes(int32(min(b.cfg.PrefetchBytes, 1<<20))),
	)
	if err != nil {
		return nil, err
	}
	return &source{b: b, cl: cl, parts: map[place]*partition{}, stir: func() {}}, nil
}

// run reads until ctx ends.
func (s *source) run(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := s.poll(ctx)
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			at := place{f.Topic, f.Partition}
			if f.Err != nil {
				s.complain(ctx, at, f.Err)
			}
			if len(f.Records) > 0 {
				s.deliver(at, f.Records)
			}
		})
	}
	s.cl.Close()
}

// poll makes the changes that are due and waits for records, or until there are more changes.
func (s *source) poll(ctx context.Context) kgo.Fetches {
	ctx, stir := context.WithCancel(ctx)
	defer stir()
	s.mu.Lock()
	changes := s.changes
	s.changes = nil
	s.stir = stir
	s.mu.Unlock()
	s.make(changes)
	return s.cl.PollFetches(ctx)
}

// make makes changes, together: a partition that comes late waits until a request for the others is answered.
func (s *source) make(changes []change) {
	if len(changes) == 0 {
		return
	}
	s.mu.Lock()
	changed := make(map[place]bool, len(changes))
	for _, c := range changes {
		changed[c.place] = true
		if delete(s.parts, c.place); c.begin != nil {
			s.parts[c.place] = c.begin
		}
	}
	ends := make(map[string][]int32)
	begins := make(map[string]map[int32]kgo.Offset)
	for at := range changed {
		ends[at.topic] = append(ends[at.topic], at.partition)
		p := s.parts[at]
		if p == nil {
			continue
		}
		if begins[at.topic] == nil {
			begins[at.topic] = make(map[int32]kgo.Offset)
		}
		begins[at.topic][at.partition] = kgo.NewOffset().At(p.next)
	}
	s.mu.Unlock()
	s.cl.RemoveConsumePartitions(maps.Clone(ends))
	s.cl.ResumeFetchPartitions(ends)
	s.cl.AddConsumePartitions(begins)
}

// begin reads a partition from its position on.
func (s *source) begin(p *partition) { s.change(change{p.place, p}) }

// end stops reading a partition.
func (s *source) end(at place) { s.change(change{at, nil}) }

func (s *source) change(c change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, c)
	s.stir()
}

func (s *source) deliver(at place, records []*kgo.Record) {
	s.mu.Lock()
	p := s.parts[at]
	s.mu.Unlock()
	if p != nil {
		p.put(records)
	}
}

// regulate stops reading a partition that is full, and goes on when half of it is gone; the partition's lock is held.
func (s *source) regulate(p *partition) {
	records, bytes := s.b.cfg.PrefetchRecords, s.b.cfg.PrefetchBytes
	at := map[string][]int32{p.topic: {p.partition}}
	switch {
	case !p.paused && (len(p.queue) >= records || p.bytes >= bytes):
		p.paused = true
		s.cl.PauseFetchPartitions(at)
	case p.paused && len(p.queue) <= records/2 && p.bytes <= bytes/2:
		p.paused = false
		s.cl.ResumeFetchPartitions(at)
	}
}

// complain logs what the client will get over by itself.
func (s *source) complain(ctx context.Context, at place, err error) {
	var reset *kgo.ErrDataLoss
	switch {
	case ctx.Err() != nil, errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed):
	case errors.As(err, &reset), errors.Is(err, kerr.OffsetOutOfRange):
		s.b.cfg.Log.LogAttrs(ctx, slog.LevelError, "records were removed before they were read; going on with those that are left",
			slog.String("partition", at.String()), slog.String("error", err.Error()))
	default:
		s.b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "reading from a partition failed and will be tried again",
			slog.String("partition", at.String()), slog.String("error", fmt.Sprint(explain(err))))
	}
}
