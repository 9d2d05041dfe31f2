package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
	"github.com/tidings-go/tidings/internal/lease"
)

// Consume implements [broker.Broker].
func (b *Broker) Consume(ctx context.Context, r broker.Reader, each func(context.Context, broker.Partition)) error {
	end, err := b.begin()
	if err == nil {
		defer end()
		err = b.consume(ctx, r, each)
	}
	if err != nil {
		return fmt.Errorf("redis: consume: %w", err)
	}
	return nil
}

func (b *Broker) consume(ctx context.Context, r broker.Reader, each func(context.Context, broker.Partition)) error {
	if err := checks.Reader(r); err != nil {
		return err
	}
	var sources [][]source
	err := b.atStart(ctx, func(ctx context.Context) (err error) {
		sources, err = b.sources(ctx, r)
		return err
	})
	if ctx.Err() != nil {
		return nil
	}
	// Readers that look out for new records when their partition is given back take a moment to notice.
	var readers sync.WaitGroup
	defer readers.Wait()
	if err == nil && r.Group != "" {
		err = b.share(ctx, r.Group, sources, &holder{b: b, each: each, readers: &readers})
	} else if err == nil {
		b.readAll(ctx, r, sources, &holder{b: b, each: each, readers: &readers})
	}
	if err == nil && ctx.Err() == nil && b.gone.Err() != nil {
		err = broker.ErrClosed
	}
	return err
}

// source is where the records of a partition are, and where to begin.
type source struct {
	topic     *topic
	partition int
	stream    string
	group     string
	// after is the entry behind which a group that has no position yet begins, and a reader without a group.
	after entryID
	// end is the last entry that a reader to the end wants. Zero: there is nothing to read.
	toEnd bool
	end   entryID
}

func (s *source) attrs(more ...slog.Attr) []slog.Attr {
	return append(more, slog.String("topic", s.topic.name), slog.Int("partition", s.partition), slog.String("group", s.group))
}

// sources are all partitions of a reader's topics. "From now on" and "to the end" are pinned down here, for all of them at once.
func (b *Broker) sources(ctx context.Context, r broker.Reader) ([][]source, error) {
	all := make([][]source, len(r.Topics))
	for i, name := range r.Topics {
		t, err := b.lookUp(ctx, name) // what is remembered may be gone by now
		if err != nil {
			return nil, err
		}
		last, err := b.lastIDs(ctx, t)
		if err != nil {
			return nil, err
		}
		for p, stream := range t.streams {
			s := source{topic: t, partition: p, stream: stream, group: r.Group, toEnd: r.ToEnd, end: last[p]}
			switch {
			case r.From.Latest:
				s.after = last[p]
			case !r.From.At.IsZero():
				s.after = before(r.From.At)
			}
			all[i] = append(all[i], s)
		}
		if r.Group != "" {
			err = b.createGroup(ctx, all[i])
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// lastIDs are the last entries of a topic's streams.
func (b *Broker) lastIDs(ctx context.Context, t *topic) ([]entryID, error) {
	pipe := b.client.Pipeline()
	answers := make([]*goredis.XInfoStreamCmd, len(t.streams))
	for p, stream := range t.streams {
		answers[p] = pipe.XInfoStream(ctx, stream)
	}
	if _, err := pipe.Exec(ctx); isNoKey(err) {
		return nil, unknownTopic(t.name)
	} else if err != nil {
		return nil, err
	}
	ids := make([]entryID, len(answers))
	for p, a := range answers {
		ids[p], _ = parseID([]byte(a.Val().LastGeneratedID))
	}
	return ids, nil
}

// createGroup makes a group's consumer groups, unless they exist. From then on nothing is trimmed that it has not settled.
func (b *Broker) createGroup(ctx context.Context, sources []source) error {
	pipe := b.client.Pipeline()
	answers := make([]*goredis.StatusCmd, len(sources))
	for i, s := range sources {
		answers[i] = pipe.XGroupCreate(ctx, s.stream, s.group, s.after.String())
	}
	_, _ = pipe.Exec(ctx)
	for _, a := range answers {
		if err := a.Err(); err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
			return err
		}
	}
	return nil
}

// share divides the partitions of each topic with the other members of the group, until ctx ends or the broker is closed.
func (b *Broker) share(ctx context.Context, group string, topics [][]source, h *holder) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.gone, cancel)()

	var running sync.WaitGroup
	errs := make([]error, len(topics))
	for i, sources := range topics {
		names := make([]string, len(sources))
		byName := make(map[string]source, len(sources))
		for p := range sources {
			names[p] = strconv.Itoa(p)
			byName[names[p]] = sources[p]
		}
		register := &cell{b: b, key: leaseKey(group, sources[0].topic.name)}
		cfg := lease.Config{Names: names, Member: b.member, TTL: b.cfg.LeaseTTL, Log: b.cfg.Log}
		running.Go(func() {
			errs[i] = lease.Run(ctx, register, cfg, func(ctx context.Context, l lease.Lease) {
				s := byName[l.Name]
				h.hold(ctx, s, l.Stop, &owner{b: b, src: s, fence: fenceKey(s.stream, group), epoch: l.Epoch})
			})
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// readAll reads every partition alone, until ctx ends or all have come to their end.
func (b *Broker) readAll(ctx context.Context, r broker.Reader, topics [][]source, h *holder) {
	var running sync.WaitGroup
	for _, sources := range topics {
		for _, s := range sources {
			running.Go(func() { h.hold(context.WithoutCancel(ctx), s, ctx.Done(), &loner{b: b, src: s, at: s.after}) })
		}
	}
	running.Wait()
	if r.ToEnd {
		return
	}
	select {
	case <-ctx.Done():
	case <-b.gone.Done():
	}
}

// holder lets a function have partitions.
type holder struct {
	b       *Broker
	each    func(context.Context, broker.Partition)
	readers *sync.WaitGroup
}

// hold owns a partition for as long as ctx lives and the call of each takes.
func (h *holder) hold(ctx context.Context, s source, stop <-chan struct{}, f feed) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errGivenBack)
	defer context.AfterFunc(h.b.gone, func() { cancel(broker.ErrClosed) })()
	p := newPartition(h.b, s, f, stop)
	p.ctx, p.lose = ctx, cancel
	if !p.open(stop) {
		return
	}
	h.b.trimmer.watch(s.topic.name, s.stream)
	h.readers.Go(p.read)
	var settling sync.WaitGroup
	settling.Go(p.acknowledge)
	h.each(ctx, p)
	p.giveBack()
	cancel(errGivenBack)
	settling.Wait()
}
