package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tidings-go/tidings/broker"
)

// Consume implements [broker.Broker]. A reader with a group is a member of the consumer group of that name. What it settles is committed soon after,
// at least every 50 ms while it goes on, and at once when a partition is given back.
func (b *Broker) Consume(ctx context.Context, r broker.Reader, each func(ctx context.Context, p broker.Partition)) error {
	end, err := b.begin()
	if err != nil {
		return fmt.Errorf("kafka: consume %v: %w", r.Topics, err)
	}
	defer end()
	if err := checkReader(&r); err != nil {
		return fmt.Errorf("kafka: consume: %w", err)
	}
	if err := b.consumeReady(ctx, r, each, nil); err != nil && ctx.Err() == nil {
		return fmt.Errorf("kafka: consume %v as group %q: %w", r.Topics, r.Group, err)
	}
	return nil
}

// consumeReady consumes. Without a group it calls ready, which may be nil, when it knows where to begin.
func (b *Broker) consumeReady(ctx context.Context, r broker.Reader, each func(context.Context, broker.Partition), ready func()) error {
	s, err := newSource(ctx, b, r.Topics)
	if err != nil {
		return err
	}
	// Reading goes on while partitions are drained, so it ends after them.
	defer s.close()
	topics, err := describeKnown(ctx, s.cl, r.Topics...)
	if err != nil {
		return err
	}
	s.learn(topics)
	if r.Group == "" {
		held, err := b.readAll(ctx, s, topics, &r, each)
		if err != nil {
			return err
		}
		if ready != nil {
			ready()
		}
		return held.wait(ctx)
	}
	return b.join(ctx, s, topics, r, each)
}

func checkReader(r *broker.Reader) error {
	for _, topic := range r.Topics {
		if err := checkName("topic", topic); err != nil {
			return err
		}
	}
	switch {
	case len(r.Topics) == 0:
		return fmt.Errorf("the reader names no topics: %w", broker.ErrInvalid)
	case r.Group == "":
		return nil
	case r.ToEnd:
		return fmt.Errorf("reading to the end is for readers without a group: %w", broker.ErrInvalid)
	default:
		return checkName("group", r.Group)
	}
}

// readAll begins to read all partitions without a group.
func (b *Broker) readAll(
	ctx context.Context, s *source, topics []description, r *broker.Reader, each func(context.Context, broker.Partition),
) (*holding, error) {
	from, err := b.starts(ctx, r.From, r.Topics...)
	if err != nil {
		return nil, err
	}
	until, err := b.ends(ctx, r)
	if err != nil {
		return nil, err
	}
	held := newHolding(ctx, b)
	for i := range topics {
		for n := range topics[i].leaders {
			at := place{topics[i].name, int32(n)}
			held.begin(&tenure{place: at, source: s, each: each, until: until(at), known: from[at]})
		}
	}
	return held, nil
}

// ends returns where a reader to the end stops.
func (b *Broker) ends(ctx context.Context, r *broker.Reader) (func(place) int64, error) {
	if !r.ToEnd {
		return func(place) int64 { return -1 }, nil
	}
	// What transactions have not committed is not there yet.
	listed, err := offsets(kadm.NewClient(b.cl).ListCommittedOffsets(ctx, r.Topics...))
	if err != nil {
		return nil, fmt.Errorf("find where topics end: %w", err)
	}
	return func(at place) int64 {
		l, _ := listed.Lookup(at.topic, at.partition)
		return l.Offset
	}, nil
}

// starts returns where to begin in all partitions of topics.
func (b *Broker) starts(ctx context.Context, from broker.Start, topics ...string) (map[place]int64, error) {
	cl := kadm.NewClient(b.cl)
	var listed kadm.ListedOffsets
	var err error
	switch {
	case from.Latest:
		listed, err = offsets(cl.ListEndOffsets(ctx, topics...))
	case !from.At.IsZero():
		// The time is rounded up: a record of the same millisecond may be older.
		listed, err = offsets(cl.ListOffsetsAfterMilli(ctx, from.At.Add(time.Millisecond-1).UnixMilli(), topics...))
	default:
		listed, err = offsets(cl.ListStartOffsets(ctx, topics...))
	}
	if err != nil {
		return nil, fmt.Errorf("find where to begin: %w", err)
	}
	starts := make(map[place]int64)
	listed.Each(func(l kadm.ListedOffset) { starts[place{l.Topic, l.Partition}] = l.Offset })
	return starts, nil
}

// start is where to begin in one partition of a group that has no position there. It asks until it knows.
func (b *Broker) start(ctx context.Context, from broker.Start, at place) (int64, error) {
	for {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		starts, err := b.starts(asking, from, at.topic)
		cancel()
		if position, ok := starts[at]; ok && err == nil {
			return position, nil
		}
		if err == nil {
			err = errors.New("the brokers don't list it")
		}
		b.warn(ctx, "finding where to begin in a partition failed and will be tried again", at, err)
		if !pause(ctx, 500*time.Millisecond) {
			return 0, ctx.Err()
		}
	}
}
