package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/broker"
)

// topic is what is known of a stream that holds one. It never changes while the stream lives.
type topic struct {
	name     string
	stream   string
	subjects []string // one for each partition
}

// Keys of a stream's metadata.
const (
	metaTopic      = "tidings.topic"
	metaPartitions = "tidings.partitions"
)

// topic looks a topic up, once: after that it is remembered until publishing finds that it is gone.
func (b *Broker) topic(ctx context.Context, name string) (*topic, error) {
	if err := checkName("topic", name); err != nil {
		return nil, err
	}
	b.mu.Lock()
	t := b.topics[name]
	b.mu.Unlock()
	if t != nil {
		return t, nil
	}
	info, err := b.stream(ctx, name)
	if err != nil {
		return nil, err
	}
	if t, err = newTopic(name, info.Config); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.topics[name] = t
	return t, nil
}

func (b *Broker) forget(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.topics, topic)
}

// stream asks the server for a topic's stream.
func (b *Broker) stream(ctx context.Context, topic string, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, streamName(topic))
	if err != nil {
		return nil, streamError(topic, err)
	}
	if len(opts) == 0 {
		return stream.CachedInfo(), nil
	}
	info, err := stream.Info(ctx, opts...)
	if err != nil {
		return nil, streamError(topic, err)
	}
	return info, nil
}

func streamError(topic string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("topic %s has no stream %s: create it with Topics(ctx, broker.Apply, …): %w", topic, streamName(topic), broker.ErrUnknownTopic)
	}
	return fmt.Errorf("look up topic %s: %w", topic, err)
}

func newTopic(name string, cfg jetstream.StreamConfig) (*topic, error) {
	partitions, err := strconv.Atoi(cfg.Metadata[metaPartitions])
	if err != nil || partitions < 1 || cfg.Metadata[metaTopic] != name {
		return nil, fmt.Errorf("%w: %s was not made by tidings, it lacks the metadata %s=%s and %s", errForeign, cfg.Name, metaTopic, name, metaPartitions)
	}
	if !cfg.AllowAtomicPublish {
		return nil, fmt.Errorf("%w: %s does not allow atomic batches, set allow_atomic in its configuration", errForeign, cfg.Name)
	}
	t := &topic{name: name, stream: cfg.Name, subjects: make([]string, partitions)}
	for i := range t.subjects {
		t.subjects[i] = partitionSubject(name, i)
	}
	return t, nil
}

// Topics implements [broker.Broker]. Apply makes streams that are missing and changes nothing about those that are there;
// where they differ from what is wanted the answer says so.
func (b *Broker) Topics(ctx context.Context, op broker.Op, want ...broker.Topic) ([]broker.TopicState, error) {
	end, err := b.begin("topics")
	if err != nil {
		return nil, err
	}
	defer end()
	states := make([]broker.TopicState, len(want))
	for i, w := range want {
		if states[i], err = b.inspect(ctx, op, w); err != nil {
			return nil, fmt.Errorf("nats: %w", err)
		}
	}
	return states, nil
}

func (b *Broker) inspect(ctx context.Context, op broker.Op, want broker.Topic) (broker.TopicState, error) {
	if err := checkName("topic", want.Name); err != nil {
		return broker.TopicState{}, err
	}
	if want.Live { // core NATS has subjects for it, and needs no stream
		return broker.TopicState{Topic: want}, nil
	}
	info, err := b.stream(ctx, want.Name, jetstream.WithSubjectFilter(topicSubjects(want.Name)))
	if errors.Is(err, broker.ErrUnknownTopic) && op == broker.Apply && !want.External {
		info, err = b.create(ctx, want)
	}
	if errors.Is(err, broker.ErrUnknownTopic) {
		missing := want
		return broker.TopicState{Topic: missing, Missing: true, Diff: []string{"the topic does not exist"}}, nil
	}
	if err != nil {
		return broker.TopicState{}, err
	}
	state := broker.TopicState{Topic: want, Messages: info.State.Msgs}
	state.Retention = info.Config.MaxAge
	t, err := newTopic(want.Name, info.Config)
	if err != nil {
		state.Diff = append(state.Diff, err.Error())
		return state, nil
	}
	state.Partitions = len(t.subjects)
	state.Diff = diff(want, state.Topic)
	if len(want.Groups) > 0 {
		state.Lag, err = b.lag(ctx, t, want.Groups, info.State.Subjects)
	}
	return state, err
}

func diff(want, have broker.Topic) []string {
	var lines []string
	if want.Partitions != 0 && want.Partitions != have.Partitions {
		lines = append(lines, fmt.Sprintf("partitions: %d wanted, the topic has %d, and that can't be changed", want.Partitions, have.Partitions))
	}
	if want.Retention != 0 && want.Retention != have.Retention {
		lines = append(lines, fmt.Sprintf("retention: %v wanted, the topic has %v", want.Retention, have.Retention))
	}
	return lines
}

// create makes a topic's stream. Two processes may do that at the same time: who is late finds it made.
func (b *Broker) create(ctx context.Context, want broker.Topic) (*jetstream.StreamInfo, error) {
	setDefault(&want.Partitions, b.cfg.Partitions)
	setDefault(&want.Retention, b.cfg.Retention)
	cfg := jetstream.StreamConfig{
		Name:        streamName(want.Name),
		Description: "tidings topic " + want.Name,
		Subjects:    []string{topicSubjects(want.Name)},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		MaxAge:      want.Retention,
		Replicas:    b.replicas(),
		Duplicates:  min(b.cfg.DuplicateWindow, want.Retention),
		AllowDirect: true,
		Metadata:    map[string]string{metaTopic: want.Name, metaPartitions: strconv.Itoa(want.Partitions)},

		AllowAtomicPublish: true,
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := b.js.CreateStream(ctx, cfg)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return b.stream(ctx, want.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("create topic %s: %w", want.Name, err)
	}
	return stream.CachedInfo(), nil
}

func (b *Broker) replicas() int {
	if b.cfg.Replicas > 0 {
		return b.cfg.Replicas
	}
	if len(b.nc.DiscoveredServers())+1 >= 3 || b.nc.ConnectedClusterName() != "" && len(b.nc.Servers()) >= 3 {
		return 3
	}
	return 1
}

// lag counts, for each group, what its partitions hold and have not settled.
func (b *Broker) lag(ctx context.Context, t *topic, groups []string, held map[string]uint64) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, t.stream)
	if err != nil {
		return nil, streamError(t.name, err)
	}
	var consumers []*jetstream.ConsumerInfo
	lister := stream.ListConsumers(ctx)
	for info := range lister.Info() {
		consumers = append(consumers, info)
	}
	if err := lister.Err(); err != nil {
		return nil, fmt.Errorf("list the readers of topic %s: %w", t.name, err)
	}
	lag := make(map[string]uint64, len(groups))
	for _, group := range groups {
		for partition, subject := range t.subjects {
			prefix, newest, open := consumerPrefix(group, partition), consumerID{}, held[subject]
			for _, info := range consumers {
				if id, ok := parseConsumer(prefix, info.Name); ok && !id.before(newest) {
					newest, open = id, info.NumPending+uint64(max(info.NumAckPending, 0))
				}
			}
			lag[group] += open
		}
	}
	return lag, nil
}
