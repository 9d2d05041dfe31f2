package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidings-go/tidings/broker"
)

// description is what the cluster says of a topic.
type description struct {
	name     string
	id       [16]byte
	leaders  []int32 // by partition; negative: none at the moment
	replicas int
	// maxBytes is the largest batch that the topic takes. Zero: unknown.
	maxBytes int
	missing  bool
}

// firstReads is how often it is asked again when a connection was closed before its first answer. The client gives up then, since a server that wants SASL does
// the same; but so does a network that fails just now.
const firstReads = 3

// describe asks for topics. Those that don't exist are missing; nothing is ever made by asking.
func describe(ctx context.Context, cl *kgo.Client, names ...string) ([]description, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = new(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	for range firstReads {
		if _, cut := errors.AsType[*kgo.ErrFirstReadEOF](err); !cut {
			break
		}
		resp, err = req.RequestWith(ctx, cl)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for topics: %w", explain(err))
	}
	found := make(map[string]description, len(names))
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Topic == nil {
			continue
		}
		about, err := toDescription(t)
		if err != nil {
			return nil, err
		}
		found[about.name] = about
	}
	all := make([]description, len(names))
	for i, name := range names {
		about, ok := found[name]
		if !ok {
			return nil, fmt.Errorf("ask for topics: the broker says nothing about %s", name)
		}
		all[i] = about
	}
	return all, nil
}

func toDescription(t *kmsg.MetadataResponseTopic) (description, error) {
	about := description{name: *t.Topic, id: t.TopicID}
	switch err := kerr.ErrorForCode(t.ErrorCode); {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		about.missing = true
		return about, nil
	case err != nil:
		return about, fmt.Errorf("ask for topic %s: %w", about.name, explain(err))
	}
	about.leaders = make([]int32, len(t.Partitions))
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if int(p.Partition) < len(about.leaders) {
			about.leaders[p.Partition] = p.Leader
		}
		about.replicas = len(p.Replicas)
	}
	return about, nil
}

// describeKnown is describe for topics that must exist. One may be unknown for a moment after it was made, so it asks several times
// before it believes so.
func describeKnown(ctx context.Context, cl *kgo.Client, names ...string) ([]description, error) {
	const tries, between = 4, 100 * time.Millisecond
	var unknown error
	for try := range tries {
		if try > 0 && !pause(ctx, between) {
			break
		}
		all, err := describe(ctx, cl, names...)
		if err != nil {
			return nil, err
		}
		if unknown = anyMissing(all); unknown == nil {
			return all, nil
		}
	}
	return nil, unknown
}

// usableTimeout is how long topics that were made may take until they can be used: a service may have made hundreds, of a busy cluster.
const usableTimeout = time.Minute

// await waits until topics that were just made, or given more partitions, have at least so many of them that can be used: brokers learn of them one after the other.
func await(ctx context.Context, cl *kgo.Client, partitions int, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, usableTimeout)
	defer cancel()
	for len(names) > 0 {
		all, err := describe(ctx, cl, names...)
		if err != nil {
			return err
		}
		if names = unusable(all, partitions); len(names) == 0 {
			return nil
		}
		if !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("wait until %s can be used, and %d other topics: %w", names[0], len(names)-1, ctx.Err())
		}
	}
	return nil
}

// unusable are the topics that have too few partitions, or one without a leader.
func unusable(all []description, partitions int) (names []string) {
	for i := range all {
		if all[i].missing || len(all[i].leaders) < partitions || slices.Min(all[i].leaders) < 0 {
			names = append(names, all[i].name)
		}
	}
	return names
}

func anyMissing(all []description) error {
	for i := range all {
		if all[i].missing {
			return unknownTopic(all[i].name)
		}
	}
	return nil
}

func unknownTopic(name string) error {
	return fmt.Errorf("%w %s: create it (Topics with Apply, or kafka-topics.sh); topics are never made by publishing or reading", broker.ErrUnknownTopic, name)
}

// describeOne is describeKnown for one topic.
func describeOne(ctx context.Context, cl *kgo.Client, name string) (description, error) {
	all, err := describeKnown(ctx, cl, name)
	if err != nil {
		return description{}, err
	}
	return all[0], nil
}

// maxMessageBytes is what a topic takes at most. Who may not read the configuration gets 0, and learns the limit from refusals.
func maxMessageBytes(ctx context.Context, cl *kgo.Client, name string) int {
	values, err := topicConfigs(ctx, cl, name)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(values[name]["max.message.bytes"])
	if err != nil {
		return 0
	}
	return n
}
