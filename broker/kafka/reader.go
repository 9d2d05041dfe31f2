package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
)

// peekTimeout bounds the search for the oldest records that a group has not settled.
const peekTimeout = 5 * time.Second

// overview names the cluster's topics and who reads them, without those that Kafka or this package keep for themselves.
func (a *admin) overview(ctx context.Context) ([]broker.TopicState, error) {
	listed, err := a.cl.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", explain(err))
	}
	crowds, err := a.crowds(ctx)
	if err != nil {
		return nil, err
	}
	readers := map[string][]broker.Readership{}
	for i := range crowds {
		for topic := range crowds[i].topics() {
			readers[topic] = append(readers[topic], broker.Readership{Group: crowds[i].name, Members: crowds[i].members})
		}
	}
	var states []broker.TopicState
	for _, t := range listed.Sorted() {
		main, isLive := strings.CutSuffix(t.Topic, liveSuffix)
		if t.Err == nil && (!isLive || !listed.Has(main)) && checkName("topic", t.Topic) == nil {
			states = append(states, broker.TopicState{Topic: broker.Topic{Name: t.Topic}, Readers: readers[t.Topic]})
		}
	}
	return states, nil
}

// crowd is a group as its coordinator sees it.
type crowd struct {
	name      string
	members   int
	assigned  kadm.TopicsSet
	committed kadm.OffsetResponses
}

// topics are those in which the group has a position, or partitions.
func (c *crowd) topics() map[string]bool {
	topics := map[string]bool{}
	for topic, partitions := range c.committed {
		topics[topic] = len(partitions) > 0
	}
	for topic, partitions := range c.assigned {
		topics[topic] = topics[topic] || len(partitions) > 0
	}
	maps.DeleteFunc(topics, func(_ string, is bool) bool { return !is })
	return topics
}

// readers are the groups that have committed a position in topics, or have them assigned.
func (a *admin) readers(ctx context.Context, f *facts, topics []string) (map[string][]broker.Readership, error) {
	crowds, err := a.crowds(ctx)
	if err != nil {
		return nil, err
	}
	readers := map[string][]broker.Readership{}
	for i := range crowds {
		c := &crowds[i]
		committed, reads := c.committed, c.topics()
		open := map[string]map[int32]kgo.Offset{}
		found := map[string]*broker.Readership{}
		for _, topic := range topics {
			if !reads[topic] {
				continue
			}
			found[topic] = &broker.Readership{Group: c.name, Members: c.members, Lag: f.behind(topic, committed)}
			if partitions := f.unsettled(topic, committed); len(partitions) > 0 {
				open[topic] = partitions
			}
		}
		if err := a.b.peek(ctx, open, found); err != nil {
			return nil, fmt.Errorf("look at the oldest record that %s has not settled: %w", c.name, explain(err))
		}
		for topic, r := range found {
			readers[topic] = append(readers[topic], *r)
		}
	}
	return readers, nil
}

// crowds are all groups of consumers, by name.
func (a *admin) crowds(ctx context.Context) ([]crowd, error) {
	ctx, cancel := context.WithTimeout(ctx, coordinatorPatience)
	defer cancel()
	for {
		crowds, err := a.describeGroups(ctx)
		if err == nil {
			err = a.addPositions(ctx, crowds)
		}
		switch {
		case err == nil:
			return crowds, nil
		case !kerr.IsRetriable(err) || !pause(ctx, 200*time.Millisecond):
			return nil, fmt.Errorf("list groups: %w", explain(err))
		}
	}
}

func (a *admin) describeGroups(ctx context.Context) ([]crowd, error) {
	listed, err := a.cl.ListGroups(ctx)
	if err != nil {
		return nil, err
	}
	var classic []string
	var crowds []crowd
	for _, g := range listed.Sorted() {
		if g.ProtocolType == "consumer" || g.ProtocolType == "" {
			classic = append(classic, g.Group)
		}
	}
	if len(classic) == 0 {
		return nil, nil
	}
	described, err := a.cl.DescribeGroups(ctx, classic...)
	if err != nil {
		return nil, err
	}
	var modern []string
	for _, g := range described.Sorted() {
		switch {
		case errors.Is(g.Err, kerr.GroupIDNotFound): // one of those that the brokers balance (KIP-848)
			modern = append(modern, g.Group)
		case g.Err != nil:
			return nil, g.Err
		case g.State != "Dead":
			crowds = append(crowds, crowd{name: g.Group, members: len(g.Members), assigned: g.AssignedPartitions()})
		}
	}
	if len(modern) > 0 {
		balanced, err := a.cl.DescribeConsumerGroups(ctx, modern...)
		if err != nil {
			return nil, err
		}
		for _, g := range balanced.Sorted() {
			if g.Err == nil {
				crowds = append(crowds, crowd{name: g.Group, members: len(g.Members), assigned: g.AssignedPartitions()})
			}
		}
	}
	slices.SortFunc(crowds, func(x, y crowd) int { return strings.Compare(x.name, y.name) })
	return crowds, nil
}

// addPositions asks for what all groups have committed.
func (a *admin) addPositions(ctx context.Context, crowds []crowd) error {
	names := make([]string, len(crowds))
	for i := range crowds {
		names[i] = crowds[i].name
	}
	fetched := a.cl.FetchManyOffsets(ctx, names...)
	for i := range crowds {
		answer := fetched[crowds[i].name]
		if answer.Err != nil && !errors.Is(answer.Err, kerr.GroupIDNotFound) {
			return answer.Err
		}
		crowds[i].committed = answer.Fetched
	}
	return nil
}

// unsettled is where the records begin that a group has not settled, by partition.
func (f *facts) unsettled(topic string, committed kadm.OffsetResponses) map[int32]kgo.Offset {
	open := map[int32]kgo.Offset{}
	for partition, end := range f.end[topic] {
		from := f.start[topic][partition].Offset
		if c, ok := committed.Lookup(topic, partition); ok {
			from = max(from, c.At)
		}
		if from < end.Offset {
			open[partition] = kgo.NewOffset().At(from)
		}
	}
	return open
}

// peek reads the first record of each partition from where it is unsettled, and notes the oldest of each topic.
func (b *Broker) peek(ctx context.Context, open map[string]map[int32]kgo.Offset, found map[string]*broker.Readership) error {
	if len(open) == 0 {
		return nil
	}
	cl, err := b.client(kgo.ConsumePartitions(open), kgo.FetchMaxWait(fetchWait), kgo.FetchMaxPartitionBytes(1), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, peekTimeout)
	defer cancel()
	pending := 0
	for _, partitions := range open {
		pending += len(partitions)
	}
	seen := map[place]bool{}
	for len(seen) < pending {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil // a partition without a leader, say: its age is not known
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			at := place{p.Topic, p.Partition}
			if seen[at] || len(p.Records) == 0 {
				return
			}
			seen[at] = true
			r := found[p.Topic]
			if stored := p.Records[0].Timestamp; r.Oldest.IsZero() || stored.Before(r.Oldest) {
				r.Oldest = stored
			}
		})
	}
	return nil
}
