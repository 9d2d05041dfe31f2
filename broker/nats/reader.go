package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/lease"
)

// listTimeout bounds lists of everything that a server has.
const listTimeout = 30 * time.Second

// standings are where groups stand in a topic, by partition: what its consumers say.
type standings struct {
	topic     *topic
	consumers []*jetstream.ConsumerInfo
	held      map[string]uint64 // records by subject
}

func (b *Broker) standings(ctx context.Context, t *topic, held map[string]uint64) (*standings, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, t.stream)
	if err != nil {
		return nil, streamError(t.name, err)
	}
	s := &standings{topic: t, held: held}
	lister := stream.ListConsumers(ctx)
	for info := range lister.Info() {
		s.consumers = append(s.consumers, info)
	}
	if err := lister.Err(); err != nil {
		return nil, fmt.Errorf("list the readers of topic %s: %w", t.name, err)
	}
	return s, nil
}

// lag is how many records of a partition a group has not settled, and after which sequence they begin.
func (s *standings) lag(group string, partition int) (open, after uint64) {
	prefix, newest := consumerPrefix(group, partition), consumerID{}
	open = s.held[s.topic.subjects[partition]]
	for _, info := range s.consumers {
		if id, ok := parseConsumer(prefix, info.Name); ok && !id.before(newest) {
			newest, open, after = id, info.NumPending+uint64(max(info.NumAckPending, 0)), info.AckFloor.Stream
		}
	}
	return open, after
}

// lag counts, for each group, what the topic's partitions hold and it has not settled.
func (b *Broker) lag(ctx context.Context, t *topic, groups []string, held map[string]uint64) (map[string]uint64, error) {
	s, err := b.standings(ctx, t, held)
	if err != nil {
		return nil, err
	}
	lag := make(map[string]uint64, len(groups))
	for _, group := range groups {
		for partition := range t.subjects {
			open, _ := s.lag(group, partition)
			lag[group] += open
		}
	}
	return lag, nil
}

// readers are the groups that have owned partitions of a topic.
func (b *Broker) readers(ctx context.Context, t *topic, members map[string]int, held map[string]uint64) ([]broker.Readership, error) {
	readers := readersOf(t.name, members)
	if len(readers) == 0 {
		return nil, nil
	}
	s, err := b.standings(ctx, t, held)
	if err != nil {
		return nil, err
	}
	for i := range readers {
		r := &readers[i]
		for partition := range t.subjects {
			open, after := s.lag(r.Group, partition)
			if open == 0 {
				continue
			}
			r.Lag += open
			stored, err := b.timeAfter(ctx, t, partition, after)
			if err != nil {
				return nil, fmt.Errorf("look at the oldest record that %s has not settled: %w", r.Group, err)
			}
			if !stored.IsZero() && (r.Oldest.IsZero() || stored.Before(r.Oldest)) {
				r.Oldest = stored
			}
		}
	}
	return readers, nil
}

// readersOf are the groups of a topic and how many members they have.
func readersOf(topic string, members map[string]int) []broker.Readership {
	var readers []broker.Readership
	for key, n := range members {
		if group, name, _ := strings.Cut(key, "/"); name == topic {
			readers = append(readers, broker.Readership{Group: group, Members: n})
		}
	}
	slices.SortFunc(readers, func(x, y broker.Readership) int { return strings.Compare(x.Group, y.Group) })
	return readers
}

// members counts who reads, by the keys of the bucket of leases. A table that nobody has written for long is that of processes that died.
func (b *Broker) members(ctx context.Context) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	members := map[string]int{}
	kv, err := b.js.KeyValue(ctx, leaseBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return members, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the bucket %s: %w", leaseBucket, err)
	}
	watcher, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes()) // all values come at once
	if err != nil {
		return nil, fmt.Errorf("read the owners of partitions: %w", err)
	}
	defer func() { _ = watcher.Stop() }() // it only reads
	for {
		select {
		case entry := <-watcher.Updates():
			if entry == nil {
				return members, nil // these were all
			}
			n, err := lease.Members(entry.Value())
			if err != nil {
				return nil, fmt.Errorf("read the owners of %s: %w", entry.Key(), err)
			}
			if time.Since(entry.Created()) > 3*b.cfg.LeaseTTL {
				n = 0
			}
			members[entry.Key()] = n
		case <-ctx.Done():
			return nil, fmt.Errorf("read the owners of partitions: %w", ctx.Err())
		}
	}
}

// timeAfter is when the first record of a partition after a sequence was stored. Zero: there is none any more.
func (b *Broker) timeAfter(ctx context.Context, t *topic, partition int, sequence uint64) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, t.stream)
	if err != nil {
		return time.Time{}, err
	}
	msg, err := stream.GetMsg(ctx, sequence+1, jetstream.WithGetMsgSubject(t.subjects[partition]))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	}
	return msg.Time, nil
}

// overview names all topics and who reads them. It asks for lists only, so that it is quick on a server with thousands of them.
func (b *Broker) overview(ctx context.Context, members map[string]int) ([]broker.TopicState, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	byTopic := map[string]map[string]int{}
	for key, n := range members {
		_, topic, _ := strings.Cut(key, "/")
		if byTopic[topic] == nil {
			byTopic[topic] = map[string]int{}
		}
		byTopic[topic][key] = n
	}
	var states []broker.TopicState
	lister := b.js.ListStreams(ctx, jetstream.WithStreamListSubject("tidings.t.>"))
	for info := range lister.Info() {
		if name := info.Config.Metadata[metaTopic]; name != "" && streamName(name) == info.Config.Name {
			states = append(states, broker.TopicState{Topic: broker.Topic{Name: name}, Messages: info.State.Msgs, Readers: readersOf(name, byTopic[name])})
		}
	}
	if err := lister.Err(); err != nil {
		return nil, fmt.Errorf("nats: list the streams: %w", err)
	}
	slices.SortFunc(states, func(x, y broker.TopicState) int { return strings.Compare(x.Name, y.Name) })
	return states, nil
}
