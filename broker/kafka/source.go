package kafka

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
)

// source reads partitions from the brokers, ahead of who handles them. It knows nothing of groups: partitions tell it what to read and
// from where. So reading never waits for a rebalance, nor a rebalance for reading.
//
// It asks the brokers itself, over connections of its own client, because batches stay as they came until they are fetched: what waits is small
// and costs the garbage collector nothing, partitions are decompressed and decoded beside each other, and records become deliveries without being
// something else before.
type source struct {
	b            *Broker
	cl           *kgo.Client
	decompressor kgo.Decompressor
	topics       []string
	ctx          context.Context //nolint:containedctx // Its end is what ends all that goes on in the source.
	cancel       context.CancelFunc
	working      sync.WaitGroup
	astray       chan struct{} // for the search for leaders

	mu       sync.Mutex // guards what follows
	parts    map[place]*partition
	leaders  map[place]int32
	ids      map[string][16]byte
	fetchers map[int32]*fetcher
	changes  int // how often partitions or leaders have changed
}

// newSource connects. It reads when it has learned of leaders, and until it is closed.
func newSource(ctx context.Context, b *Broker, topics []string) (*source, error) {
	cl, err := b.client()
	if err != nil {
		return nil, err
	}
	s := &source{
		b: b, cl: cl, decompressor: kgo.DefaultDecompressor(), topics: topics, astray: make(chan struct{}, 1),
		parts: map[place]*partition{}, leaders: map[place]int32{}, ids: map[string][16]byte{}, fetchers: map[int32]*fetcher{},
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.working.Go(s.seek)
	return s, nil
}

func (s *source) close() {
	s.cancel()
	s.working.Wait()
	s.cl.Close()
}

// begin reads a partition from its position on.
func (s *source) begin(p *partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts[p.place] = p
	s.changes++
	s.call(p.place)
}

// end stops reading a partition.
func (s *source) end(p *partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts[p.place] == p {
		delete(s.parts, p.place)
	}
}

// stir lets the fetcher of a partition look again.
func (s *source) stir(at place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.call(at)
}

// call calls the fetcher of a partition, or for its leader if that is unknown; the lock is held.
func (s *source) call(at place) {
	leader, ok := s.leaders[at]
	if !ok || leader < 0 {
		signal(s.astray)
		return
	}
	r := s.fetchers[leader]
	if r == nil {
		r = &fetcher{s: s, broker: leader, more: make(chan struct{}, 1)}
		s.fetchers[leader] = r
		s.working.Go(r.run)
	}
	signal(r.more)
}

// learn takes in who leads partitions.
func (s *source) learn(topics []description) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	for i := range topics {
		s.ids[topics[i].name] = topics[i].id
		for n, leader := range topics[i].leaders {
			s.leaders[place{topics[i].name, int32(n)}] = leader
		}
	}
	for at := range s.parts {
		s.call(at)
	}
}

// stray forgets who leads a partition, and looks for it.
func (s *source) stray(at place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaders[at] = -1
	signal(s.astray)
}

// seek finds leaders whenever one is missing.
func (s *source) seek() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.astray:
		}
		ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
		topics, err := describe(ctx, s.cl, s.topics...)
		cancel()
		if err != nil {
			signal(s.astray)
		} else {
			s.learn(topics)
		}
		if !pause(s.ctx, 250*time.Millisecond) {
			return
		}
	}
}

// restart goes on with a partition whose next record is no longer there: retention was faster than we.
func (s *source) restart(p *partition, why error) {
	p.lose()
	s.complain(p.place, slog.LevelError, "records were removed before they were read; going on with those that are left", why)
	s.working.Go(func() {
		if first, err := s.b.start(s.ctx, broker.Start{}, p.place); err == nil {
			p.find(first)
			s.stir(p.place)
		}
	})
}

// fail looks for another leader after a failure, and logs what will not pass by itself.
func (s *source) fail(at place, err error) {
	if !kerr.IsRetriable(err) {
		s.complain(at, slog.LevelWarn, "reading from a partition failed and will be tried again", explain(err))
	}
	s.stray(at)
}

func (s *source) complain(at place, level slog.Level, msg string, err error) {
	if s.ctx.Err() == nil {
		s.b.cfg.Log.LogAttrs(s.ctx, level, msg, slog.String("partition", at.String()), slog.String("error", err.Error())) //nolint:sloglint // Callers' messages are constant.
	}
}
