package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
)

// liveSuffix makes the name of the topic for live records.
const liveSuffix = ".live"

// Names of topic configurations.
const (
	cleanupPolicy = "cleanup.policy"
	retentionTime = "retention.ms"
	// retentionSize is by partition.
	retentionSize = "retention.bytes"
	segmentSize   = "segment.bytes"
)

// Topics implements [broker.Broker]. Apply makes missing topics, each with a topic for its live records. Alter changes what Kafka can change: all but the
// replication, which is a matter of moving data between brokers (kafka-reassign-partitions.sh). Who publishes learns of new partitions when it starts.
func (b *Broker) Topics(ctx context.Context, op broker.Op, want ...broker.Topic) ([]broker.TopicState, error) {
	end, err := b.begin()
	if err != nil {
		return nil, fmt.Errorf("kafka: topics: %w", err)
	}
	defer end()
	states, err := b.topics(ctx, op, want)
	if err != nil {
		return nil, fmt.Errorf("kafka: topics: %w", err)
	}
	return states, nil
}

func (b *Broker) topics(ctx context.Context, op broker.Op, want []broker.Topic) ([]broker.TopicState, error) {
	a := admin{b: b, cl: kadm.NewClient(b.cl)}
	var err error
	if op == broker.Survey && len(want) == 0 {
		return a.overview(ctx)
	}
	if len(want) == 0 {
		return nil, nil
	}
	for i := range want {
		if err = checkTopic(&want[i]); err != nil {
			return nil, err
		}
	}
	if op == broker.Apply || op == broker.Alter {
		if err = a.apply(ctx, want); err != nil {
			return nil, err
		}
	}
	if op == broker.Alter {
		if err = a.alter(ctx, want); err != nil {
			return nil, err
		}
	}
	return a.inspect(ctx, op, want)
}

// checkTopic refuses what can be no topic.
func checkTopic(want *broker.Topic) error {
	if err := checkName("topic", want.Name); err != nil {
		return err
	}
	if want.Partitions < 0 || want.Retention < 0 || want.Replication < 0 || want.MaxBytes < 0 {
		return fmt.Errorf("topic %s: partitions %d, retention %v, replication %d and %d bytes must not be negative: %w",
			want.Name, want.Partitions, want.Retention, want.Replication, want.MaxBytes, broker.ErrInvalid)
	}
	return nil
}

// admin looks at topics and makes them.
type admin struct {
	b  *Broker
	cl *kadm.Client
}

// apply makes those topics that are ours and missing, and waits until they can be used.
func (a *admin) apply(ctx context.Context, want []broker.Topic) error {
	var ours []broker.Topic
	var names []string
	for _, w := range want {
		if w.External || w.Live {
			continue
		}
		ours = append(ours, w)
		names = append(names, w.Name, w.Name+liveSuffix)
	}
	if len(ours) == 0 {
		return nil
	}
	found, err := describe(ctx, a.b.cl, names...)
	if err != nil {
		return err
	}
	var made []string
	for i, w := range ours {
		partitions := w.Partitions
		if main := found[2*i]; !main.missing {
			partitions = len(main.leaders)
		} else if err = a.create(ctx, w); err != nil {
			return err
		} else {
			made = append(made, w.Name)
		}
		if live := found[2*i+1]; live.missing {
			if err = a.createLive(ctx, live.name, partitions); err != nil {
				return err
			}
			made = append(made, live.name)
		}
	}
	return await(ctx, a.b.cl, 1, made...)
}

func (a *admin) create(ctx context.Context, w broker.Topic) error {
	setDefault(&w.Partitions, a.b.cfg.Partitions)
	setDefault(&w.Replication, a.b.cfg.Replication)
	if !w.Compact {
		setDefault(&w.Retention, a.b.cfg.Retention)
	}
	configs := settings(&w, w.Partitions)
	configs[cleanupPolicy] = new(policy(&w))
	// A delivery's time is the broker's: who publishes may have a wrong clock, and retention would go by it.
	configs["message.timestamp.type"] = new("LogAppendTime")
	if w.Replication >= 3 {
		configs["min.insync.replicas"] = new("2")
	}
	return a.make(ctx, w, configs)
}

// createLive makes a topic for live records. Segments are short, so that retention can remove them soon.
func (a *admin) createLive(ctx context.Context, name string, partitions int) error {
	setDefault(&partitions, a.b.cfg.Partitions)
	w := broker.Topic{Name: name, Partitions: partitions, Replication: a.b.cfg.Replication}
	return a.make(ctx, w, map[string]*string{
		cleanupPolicy: new("delete"),
		retentionTime: new(millis(liveRetention)),
		"segment.ms":  new(millis(liveRetention)),
	})
}

func (a *admin) make(ctx context.Context, w broker.Topic, configs map[string]*string) error {
	setDefault(&w.Replication, -1) // what the cluster gives
	resp, err := a.cl.CreateTopic(ctx, int32(w.Partitions), int16(w.Replication), configs, w.Name)
	switch {
	case err == nil, errors.Is(err, kerr.TopicAlreadyExists): // Another replica was faster.
		return nil
	case resp.ErrMessage != "":
		return fmt.Errorf("create %s with %d partitions: %w: %s", w.Name, w.Partitions, explain(err), resp.ErrMessage)
	default:
		return fmt.Errorf("create %s with %d partitions: %w", w.Name, w.Partitions, explain(err))
	}
}

// inspect describes wanted topics as they are.
func (a *admin) inspect(ctx context.Context, op broker.Op, want []broker.Topic) ([]broker.TopicState, error) {
	names := make([]string, len(want))
	for i := range want {
		names[i] = want[i].Name
	}
	found, err := describe(ctx, a.b.cl, names...)
	if err != nil {
		return nil, err
	}
	var existing []string
	for i := range found {
		if !found[i].missing {
			existing = append(existing, found[i].name)
		}
	}
	about := facts{}
	if len(existing) > 0 {
		if about, err = a.facts(ctx, existing, want); err == nil && op == broker.Survey {
			about.readers, err = a.readers(ctx, &about, existing)
		}
		if err != nil {
			return nil, err
		}
	}
	states := make([]broker.TopicState, len(want))
	for i := range want {
		if want[i].Live {
			states[i] = broker.TopicState{Topic: want[i], Diff: []string{errNoRequests.Error()}}
			continue
		}
		if found[i].missing {
			states[i] = broker.TopicState{Topic: want[i], Missing: true}
			continue
		}
		states[i] = about.state(&want[i], &found[i], a.b.cfg.Replication)
	}
	return states, nil
}

// facts are what is known of topics that exist.
type facts struct {
	configs    map[string]map[string]string
	start, end kadm.ListedOffsets
	committed  map[string]kadm.OffsetResponses // by group
	readers    map[string][]broker.Readership  // by topic; only for Survey
}

func (a *admin) facts(ctx context.Context, names []string, want []broker.Topic) (facts, error) {
	var f facts
	var err error
	if f.configs, err = topicConfigs(ctx, a.b.cl, names...); err != nil {
		return f, err
	}
	if f.start, err = offsets(a.cl.ListStartOffsets(ctx, names...)); err != nil {
		return f, fmt.Errorf("find where topics begin: %w", err)
	}
	if f.end, err = offsets(a.cl.ListEndOffsets(ctx, names...)); err != nil {
		return f, fmt.Errorf("find where topics end: %w", err)
	}
	f.committed = make(map[string]kadm.OffsetResponses)
	for i := range want {
		for _, group := range want[i].Groups {
			if _, ok := f.committed[group]; ok {
				continue
			}
			if f.committed[group], err = a.position(ctx, group); err != nil {
				return f, fmt.Errorf("ask for the position of group %s: %w", group, explain(err))
			}
		}
	}
	return f, nil
}

// coordinatorPatience is how long a broker that has just started may look for its groups.
const coordinatorPatience = 15 * time.Second

// position is what a group has committed. A group that nobody has heard of has committed nothing.
func (a *admin) position(ctx context.Context, group string) (kadm.OffsetResponses, error) {
	ctx, cancel := context.WithTimeout(ctx, coordinatorPatience)
	defer cancel()
	for {
		committed, err := a.cl.FetchOffsets(ctx, group)
		if err == nil {
			err = committed.Error()
		}
		switch {
		case err == nil || errors.Is(err, kerr.GroupIDNotFound):
			return committed, nil
		case !kerr.IsRetriable(err) || !pause(ctx, 200*time.Millisecond):
			return nil, err
		}
	}
}

// offsets is what was listed, if all of it was.
func offsets(listed kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	if err == nil {
		err = listed.Error()
	}
	return listed, explain(err)
}

// state compares a topic as it is with what is wanted.
func (f *facts) state(want *broker.Topic, found *description, replication int) broker.TopicState {
	s := broker.TopicState{Topic: *want, Readers: f.readers[want.Name]}
	configs := f.configs[want.Name]
	s.Partitions, s.Replication = len(found.leaders), found.replicas
	s.Retention = retention(configs[retentionTime])
	s.MaxBytes = maxBytes(configs[retentionSize], want.MaxBytes, s.Partitions)
	s.Compact = strings.Contains(configs[cleanupPolicy], "compact")
	expected := *want
	if !want.External { // The rest is the owner's business.
		setDefault(&expected.Replication, replication)
	}
	s.Diff = broker.Differences(&expected, &s.Topic)
	s.Messages = f.behind(want.Name, nil)
	for _, group := range want.Groups {
		if s.Lag == nil {
			s.Lag = make(map[string]uint64, len(want.Groups))
		}
		s.Lag[group] = f.behind(want.Name, f.committed[group])
	}
	return s
}

// behind counts the records of a topic from what a group has committed on.
func (f *facts) behind(topic string, committed kadm.OffsetResponses) uint64 {
	var n int64
	for partition, end := range f.end[topic] {
		from := f.start[topic][partition].Offset
		if c, ok := committed.Lookup(topic, partition); ok {
			from = max(from, c.At)
		}
		n += max(0, end.Offset-from)
	}
	return uint64(n)
}

// topicConfigs reads the configurations of topics.
func topicConfigs(ctx context.Context, cl *kgo.Client, names ...string) (map[string]map[string]string, error) {
	resources, err := kadm.NewClient(cl).DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of topics: %w", explain(err))
	}
	all := make(map[string]map[string]string, len(resources))
	for _, r := range resources {
		if r.Err != nil {
			return nil, fmt.Errorf("read the configuration of %s: %w", r.Name, explain(r.Err))
		}
		values := make(map[string]string, len(r.Configs))
		for _, c := range r.Configs {
			values[c.Key] = c.MaybeValue()
		}
		all[r.Name] = values
	}
	return all, nil
}
