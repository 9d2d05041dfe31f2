package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tidings-go/tidings/broker"
)

// Listeners of one group form two consumer groups, for durable and for live topics. The prefixes keep them apart from subscriptions.
const (
	durablePrefix = "listen."
	livePrefix    = "listen-live."
)

// Listen implements [broker.Broker]. It reads the topics and their live topics from their ends on. A listener that is too slow falls behind, and
// loses what was removed meanwhile: live records after ten minutes. Listeners of one group form the consumer groups "listen.{group}" and
// "listen-live.{group}", which forget their positions when nobody listens.
func (b *Broker) Listen(ctx context.Context, l broker.Listener, each func(broker.Record)) error {
	end, err := b.begin()
	if err != nil {
		return fmt.Errorf("kafka: listen to %v: %w", l.Topics, err)
	}
	defer end()
	if err := b.listen(ctx, &l, each); err != nil && ctx.Err() == nil {
		return fmt.Errorf("kafka: listen to %v: %w", l.Topics, err)
	}
	return nil
}

func (b *Broker) listen(ctx context.Context, l *broker.Listener, each func(broker.Record)) error {
	reader := broker.Reader{Topics: l.Topics, From: broker.Start{Latest: true}}
	if err := checkReader(&reader); err != nil {
		return err
	}
	if err := b.ensureLive(ctx, l.Topics...); err != nil {
		return err
	}
	e := &ear{origins: make(map[string]string, len(l.Topics)), each: each}
	var live []string
	for _, topic := range l.Topics {
		live = append(live, topic+liveSuffix)
		e.origins[topic+liveSuffix] = topic
	}
	if l.Group == "" {
		reader.Topics = slices.Concat(live, l.Topics)
		return b.consumeReady(ctx, reader, e.listen, l.Ready)
	}
	return b.share(ctx, l, live, e)
}

// share listens as one of a group. Durable and live topics are divided separately, so that each listener gets of both.
func (b *Broker) share(ctx context.Context, l *broker.Listener, live []string, e *ear) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var working, unready sync.WaitGroup
	for prefix, topics := range map[string][]string{durablePrefix: l.Topics, livePrefix: live} {
		reader := broker.Reader{Group: prefix + l.Group, Topics: topics, From: broker.Start{Latest: true}}
		b.forget(ctx, reader.Group)
		working.Go(func() {
			// The last of the group leaves no position behind: who listens next begins at the end.
			defer b.forget(context.WithoutCancel(ctx), reader.Group)
			stop(b.consumeReady(ctx, reader, e.listen, nil))
		})
		unready.Go(func() { b.awaitPositions(ctx, reader.Group, topics) })
	}
	working.Go(func() {
		if unready.Wait(); l.Ready != nil && ctx.Err() == nil {
			l.Ready()
		}
	})
	working.Wait()
	return context.Cause(ctx)
}

// ear passes on what comes from all partitions, one record at a time.
type ear struct {
	origins map[string]string // the topics of live topics
	mu      sync.Mutex        // held while each runs
	each    func(broker.Record)
}

func (e *ear) listen(ctx context.Context, p broker.Partition) {
	for {
		deliveries, err := p.Fetch(ctx, 256, 1<<20)
		if err != nil {
			return
		}
		for i := range deliveries {
			r := deliveries[i].Record
			if origin, ok := e.origins[r.Topic]; ok {
				r.Topic = origin
			}
			e.hear(r)
			// Settled before the next, so that a record is not repeated when the partition moves meanwhile.
			if p.Settle(ctx, broker.Settlement{Next: deliveries[i].Sequence + 1}) != nil {
				return
			}
		}
	}
}

func (e *ear) hear(r broker.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.each(r)
}

// forget removes the positions of a group that has no members.
func (b *Broker) forget(ctx context.Context, group string) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if _, err := kadm.NewClient(b.cl).DeleteGroup(ctx, group); err != nil {
		return // Somebody listens, or there is nothing to forget.
	}
}

// awaitPositions waits until the group has a position in every partition: what comes after that is heard by one of its members.
func (b *Broker) awaitPositions(ctx context.Context, group string, topics []string) {
	for b.hasPositions(ctx, group, topics) != nil {
		if !pause(ctx, 50*time.Millisecond) {
			return
		}
	}
}

var errNoPosition = errors.New("a partition has no position yet")

func (b *Broker) hasPositions(ctx context.Context, group string, topics []string) error {
	found, err := describe(ctx, b.cl, topics...)
	if err != nil {
		return err
	}
	committed, err := kadm.NewClient(b.cl).FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	for i := range found {
		for n := range found[i].leaders {
			if c, ok := committed.Lookup(found[i].name, int32(n)); !ok || c.Err != nil || c.At < 0 {
				return errNoPosition
			}
		}
	}
	return nil
}
