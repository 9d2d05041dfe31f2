package nats

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// never is an ack wait that does not come: what is not settled is delivered again by the next consumer, from the position, and
// never by the clock. So no handler is too slow.
const never = 365 * 24 * time.Hour

// readerGone is when the server removes the consumer of a reader without a group that has gone without a word.
const readerGone = time.Minute

// others are the other consumers of this group and partition.
func (p *partition) others(ctx context.Context, stream jetstream.Stream) (before, after []consumerID, err error) {
	lister := stream.ConsumerNames(ctx)
	for name := range lister.Name() {
		id, ok := parseConsumer(p.prefix, name)
		switch {
		case !ok || id == p.id:
		case id.before(p.id) || p.alone:
			before = append(before, id)
		default:
			after = append(after, id)
		}
	}
	return before, after, lister.Err()
}

// predecessor is where the latest consumer before this one has got to: the first sequence that it has not settled. Zero: there is
// none, or it has settled nothing of what its group's beginning gave it.
func (p *partition) predecessor(ctx context.Context, stream jetstream.Stream) (position uint64, err error) {
	before, after, err := p.others(ctx, stream)
	if err != nil {
		return 0, err
	}
	if len(after) > 0 {
		return 0, errStale
	}
	var latest consumerID
	for _, id := range before {
		if latest.before(id) {
			latest = id
		}
	}
	if latest == (consumerID{}) {
		return 0, nil
	}
	consumer, err := stream.Consumer(ctx, latest.name(p.prefix))
	if err != nil {
		return 0, err // also if it is gone by now: then somebody else is at work, and the next try sees who
	}
	info := consumer.CachedInfo()
	if info.AckFloor.Stream > 0 {
		position = info.AckFloor.Stream + 1
	}
	// A consumer that a cluster has only just made may not tell its floor yet; its configuration tells where it began.
	return max(position, info.Config.OptStartSeq), nil
}

// sweep deletes the consumers that the one just made replaces. If one of a later owner has appeared, it deletes its own.
func (p *partition) sweep(ctx context.Context, stream jetstream.Stream) error {
	before, after, err := p.others(ctx, stream)
	if err != nil {
		return err
	}
	if len(after) > 0 {
		return errors.Join(errStale, stream.DeleteConsumer(ctx, p.id.name(p.prefix)))
	}
	for _, id := range before {
		if err := stream.DeleteConsumer(ctx, id.name(p.prefix)); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
	}
	return nil
}

// resume is the sequence to begin at, given the predecessor's position. Zero: there is no position.
func (p *partition) resume(predecessor uint64, stream *jetstream.StreamInfo) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := stream.State.LastSeq
	switch {
	case !p.created.IsZero() && !p.created.Equal(stream.Created):
		p.b.cfg.Log.LogAttrs(p.ctx, slog.LevelWarn, "a topic was deleted and made again while it was read", p.attrs()...)
		p.received, p.fetched, p.next = 0, 0, 0
	case p.received > last:
		p.b.cfg.Log.LogAttrs(p.ctx, slog.LevelError, "the server has lost records that it had delivered",
			p.attrs(slog.Uint64("received", p.received), slog.Uint64("last", last))...)
		p.received, p.fetched = last, min(p.fetched, last)
	}
	p.created = stream.Created
	start := p.next
	if p.src.group == "" && p.received > 0 {
		start = p.received + 1
	}
	if start == 0 {
		start = predecessor
	}
	// A position behind the end would skip what is published next.
	p.begin = min(start, last+1)
	return p.begin
}

func (p *partition) config(start uint64) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		FilterSubject: p.src.subject(),
		MaxDeliver:    -1,
		MaxAckPending: -1,
		Metadata:      map[string]string{metaTopic: p.src.topic.name, "tidings.partition": strconv.Itoa(p.src.partition)},
	}
	if p.src.group == "" {
		cfg.AckPolicy, cfg.MaxAckPending = jetstream.AckNonePolicy, 0
		cfg.MemoryStorage, cfg.Replicas, cfg.InactiveThreshold = true, 1, readerGone
	} else {
		cfg.Durable = p.id.name(p.prefix)
		cfg.AckPolicy, cfg.AckWait = jetstream.AckAllPolicy, never
		cfg.Metadata["tidings.group"] = p.src.group
	}
	if start == 0 {
		start = p.src.first
	}
	switch {
	case start > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, start
	case !p.src.at.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &p.src.at
	default:
		cfg.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	return cfg
}

// nothing notes that a reader to the end has nothing to read.
func (p *partition) nothing(info *jetstream.ConsumerInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.src.toEnd && info.NumPending == 0 {
		p.atEnd = true
		p.wake(p.arrived)
	}
}
