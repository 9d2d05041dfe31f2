package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
	"github.com/tidings-go/tidings/internal/lease"
)

// errStale says that a later owner has its consumer already.
var errStale = errors.New("the partition has a newer owner")

// Consume implements [broker.Broker].
func (b *Broker) Consume(ctx context.Context, r broker.Reader, each func(context.Context, broker.Partition)) error {
	end, err := b.begin("consume")
	if err != nil {
		return err
	}
	defer end()
	if err = checks.Reader(r); err != nil {
		return fmt.Errorf("nats: consume: %w", err)
	}
	var sources [][]source
	err = b.atStart(ctx, func(ctx context.Context) error {
		sources, err = b.sources(ctx, r)
		return err
	})
	if ctx.Err() != nil {
		return nil
	}
	if err == nil && r.Group != "" {
		err = b.share(ctx, r.Group, sources, each)
	} else if err == nil {
		b.readAll(ctx, r, sources, each)
	}
	if err == nil && ctx.Err() == nil && b.gone.Err() != nil {
		err = broker.ErrClosed
	}
	if err != nil {
		return fmt.Errorf("nats: consume: %w", err)
	}
	return nil
}

// source is where the records of a partition are, and where to begin.
type source struct {
	topic     *topic
	partition int
	group     string
	// A group that has no position yet, and a reader without a group, begins at the sequence first, or at a time, or else at the earliest record.
	first uint64
	at    time.Time
	// end is the last sequence that a reader to the end wants. Without one it wants nothing.
	toEnd bool
	end   uint64
}

func (s *source) subject() string { return s.topic.subjects[s.partition] }

// sources are all partitions of a reader's topics. "From now on" and "to the end" are pinned down here, for all of them at once.
func (b *Broker) sources(ctx context.Context, r broker.Reader) ([][]source, error) {
	all := make([][]source, len(r.Topics))
	for i, name := range r.Topics {
		t, err := b.topic(ctx, name)
		if err != nil {
			return nil, err
		}
		info, err := b.stream(ctx, name) // asks again: what is remembered may be gone by now
		if err != nil {
			b.forget(name)
			return nil, err
		}
		for p := range t.subjects {
			s := source{topic: t, partition: p, group: r.Group, at: r.From.At, toEnd: r.ToEnd, end: info.State.LastSeq}
			if r.From.Latest {
				s.first = info.State.LastSeq + 1
			}
			all[i] = append(all[i], s)
		}
	}
	return all, nil
}

// share divides the partitions of each topic with the other members of the group, until ctx ends or the broker is closed.
func (b *Broker) share(ctx context.Context, group string, topics [][]source, each func(context.Context, broker.Partition)) error {
	var kv jetstream.KeyValue
	err := b.atStart(ctx, func(ctx context.Context) (err error) {
		kv, err = b.bucket(ctx)
		return err
	})
	if err != nil {
		return err
	}
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
		register := &cell{kv: kv, key: leaseKey(group, sources[0].topic.name)}
		cfg := lease.Config{Names: names, Member: b.member, Exclusive: b.cfg.Exclusive, TTL: b.cfg.LeaseTTL, Log: b.cfg.Log}
		running.Go(func() {
			errs[i] = lease.Run(ctx, register, cfg, func(ctx context.Context, l lease.Lease) {
				b.hold(ctx, newPartition(b, byName[l.Name], l.Epoch, l.Stop), each)
			})
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// readAll reads every partition alone, until ctx ends or all have come to their end.
func (b *Broker) readAll(ctx context.Context, r broker.Reader, topics [][]source, each func(context.Context, broker.Partition)) {
	var running sync.WaitGroup
	for _, sources := range topics {
		for _, s := range sources {
			p := newPartition(b, s, 0, ctx.Done())
			running.Go(func() { b.hold(context.WithoutCancel(ctx), p, each) })
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

// hold owns a partition for as long as ctx lives and the call of each takes.
func (b *Broker) hold(ctx context.Context, p *partition, each func(context.Context, broker.Partition)) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errGivenBack)
	defer context.AfterFunc(b.gone, func() { cancel(broker.ErrClosed) })()
	p.ctx, p.lose = ctx, cancel
	if err := p.open(p.stop); err != nil {
		if ctx.Err() == nil && !p.stopping() {
			b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "a partition could not be opened", p.attrs(slog.Any("error", err))...)
		}
		return
	}
	var keeper sync.WaitGroup
	keeper.Go(p.keep)
	each(ctx, p)
	p.giveBack()
	cancel(errGivenBack)
	keeper.Wait()
}

// open makes the partition's consumer and begins to read from it. It tries until that works, stop is closed, or the partition is lost.
func (p *partition) open(stop <-chan struct{}) error {
	pause := 50 * time.Millisecond
	for limit := shortTry; ; limit = min(2*limit, longTry) {
		name, err := p.establish(limit)
		if err == nil {
			err = p.attach(name)
		}
		switch {
		case err == nil:
			return nil
		case p.ctx.Err() != nil:
			return context.Cause(p.ctx)
		case errors.Is(err, errStale):
			// A newer owner would have taken the lease. If it is still ours after its whole time, there is none, and the
			// bucket with the epochs was lost or restored: then what looks newer is what is left of the past.
			pause, p.alone = p.b.cfg.LeaseTTL, true
		}
		p.b.cfg.Log.LogAttrs(p.ctx, slog.LevelInfo, "a partition could not be opened, trying again", p.attrs(slog.Any("error", err))...)
		select {
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		case <-stop:
			return err
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// establish makes the consumer that the partition is read from, at the group's position, and deletes those before it. In that
// order: whoever dies in between leaves a position behind, and two consumers are no harm, because each is read only by who made it.
func (p *partition) establish(limit time.Duration) (name string, err error) {
	if err = p.b.link.wait(p.ctx); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	stream, err := p.b.js.Stream(ctx, p.src.topic.stream)
	if err != nil {
		return "", streamError(p.src.topic.name, err)
	}
	if p.src.group == "" {
		return p.establishAlone(ctx, stream)
	}
	p.id.attempt++ // from here on what an earlier attempt has made is a predecessor
	predecessor, err := p.predecessor(ctx, stream)
	if err != nil {
		return "", err
	}
	// The end of the stream is asked for after the position, which can't be behind it unless the server lost data.
	info, err := stream.Info(ctx)
	if err != nil {
		return "", err
	}
	if _, err = stream.CreateConsumer(ctx, p.config(p.resume(predecessor, info))); err != nil {
		return "", err
	}
	return p.id.name(p.prefix), p.sweep(ctx, stream)
}

// establishAlone makes a consumer of which the server keeps nothing.
func (p *partition) establishAlone(ctx context.Context, stream jetstream.Stream) (name string, err error) {
	consumer, err := stream.CreateConsumer(ctx, p.config(p.resume(0, stream.CachedInfo())))
	if err != nil {
		return "", err
	}
	p.nothing(consumer.CachedInfo())
	return consumer.CachedInfo().Name, nil
}
