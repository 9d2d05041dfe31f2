package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
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
	if err := checks.Name("topic", name); err != nil {
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

// Topics implements [broker.Broker]. Alter changes what a stream can change. The number of partitions is not among that: who publishes remembers it, and
// where a key goes must not depend on when a process began.
func (b *Broker) Topics(ctx context.Context, op broker.Op, want ...broker.Topic) ([]broker.TopicState, error) {
	end, err := b.begin("topics")
	if err != nil {
		return nil, err
	}
	defer end()
	var members map[string]int
	if op == broker.Survey {
		if members, err = b.members(ctx); err != nil {
			return nil, fmt.Errorf("nats: %w", err)
		}
		if len(want) == 0 {
			return b.overview(ctx, members)
		}
	}
	states := make([]broker.TopicState, len(want))
	for i, w := range want {
		if states[i], err = b.state(ctx, op, w, members); err != nil {
			return nil, fmt.Errorf("nats: %w", err)
		}
	}
	return states, nil
}

// state is what has become of a topic. Members are those of all groups, for a survey; nil: it is none.
func (b *Broker) state(ctx context.Context, op broker.Op, want broker.Topic, members map[string]int) (broker.TopicState, error) {
	if err := checkTopic(&want); err != nil {
		return broker.TopicState{}, err
	}
	if want.Live { // core NATS has subjects for it, and needs no stream
		return broker.TopicState{Topic: want}, nil
	}
	info, err := b.stream(ctx, want.Name, jetstream.WithSubjectFilter(topicSubjects(want.Name)))
	writes := (op == broker.Apply || op == broker.Alter) && !want.External
	switch {
	case errors.Is(err, broker.ErrUnknownTopic) && writes:
		info, err = b.create(ctx, want)
	case err == nil && op == broker.Alter && writes:
		err = b.alter(ctx, &want, info)
	}
	if errors.Is(err, broker.ErrUnknownTopic) {
		return broker.TopicState{Topic: want, Missing: true, Diff: []string{"the topic does not exist"}}, nil
	}
	if err != nil {
		return broker.TopicState{}, err
	}
	return b.describe(ctx, want, info, members)
}

// describe compares a stream with what is wanted.
func (b *Broker) describe(ctx context.Context, want broker.Topic, info *jetstream.StreamInfo, members map[string]int) (broker.TopicState, error) {
	state := broker.TopicState{Topic: want, Messages: info.State.Msgs}
	state.Retention, state.Replication, state.MaxBytes, state.Compact = info.Config.MaxAge, info.Config.Replicas, max(info.Config.MaxBytes, 0), false
	if state.Retention == 0 {
		state.Retention = broker.Unlimited
	}
	t, err := newTopic(want.Name, info.Config)
	if err != nil {
		state.Diff = append(state.Diff, err.Error())
		return state, nil
	}
	state.Partitions = len(t.subjects)
	state.Diff = broker.Differences(&want, &state.Topic)
	if len(want.Groups) > 0 {
		if state.Lag, err = b.lag(ctx, t, want.Groups, info.State.Subjects); err != nil {
			return state, err
		}
	}
	if members != nil {
		state.Readers, err = b.readers(ctx, t, members, info.State.Subjects)
	}
	return state, err
}

// checkTopic refuses what no stream can be.
func checkTopic(want *broker.Topic) error {
	if err := checks.Name("topic", want.Name); err != nil {
		return err
	}
	if want.Partitions < 0 || want.Retention < 0 || want.Replication < 0 || want.MaxBytes < 0 {
		return fmt.Errorf("topic %s: partitions %d, retention %v, replication %d and %d bytes must not be negative: %w",
			want.Name, want.Partitions, want.Retention, want.Replication, want.MaxBytes, broker.ErrInvalid)
	}
	if want.Compact {
		return fmt.Errorf("topic %s: a stream can't be compacted, that is keep the newest record of each key: leave Compact out: %w", want.Name, broker.ErrInvalid)
	}
	return nil
}

// create makes a topic's stream. Two processes may do that at the same time: who is late finds it made.
func (b *Broker) create(ctx context.Context, want broker.Topic) (*jetstream.StreamInfo, error) {
	setDefault(&want.Partitions, b.cfg.Partitions)
	setDefault(&want.Retention, b.cfg.Retention)
	setDefault(&want.Replication, b.replicas())
	cfg := jetstream.StreamConfig{
		Name:        streamName(want.Name),
		Description: "tidings topic " + want.Name,
		Subjects:    []string{topicSubjects(want.Name)},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		MaxAge:      maxAge(want.Retention),
		MaxBytes:    maxBytes(want.MaxBytes),
		Replicas:    want.Replication,
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

// alter changes the stream of a topic to what is wanted, where that is something else.
func (b *Broker) alter(ctx context.Context, want *broker.Topic, info *jetstream.StreamInfo) error {
	cfg := info.Config
	if want.Retention > 0 {
		cfg.MaxAge = maxAge(want.Retention)
		cfg.Duplicates = min(cfg.Duplicates, want.Retention)
	}
	if want.MaxBytes > 0 {
		cfg.MaxBytes = want.MaxBytes
	}
	setDefault(&want.Replication, cfg.Replicas)
	cfg.Replicas = want.Replication
	if cfg.MaxAge == info.Config.MaxAge && cfg.MaxBytes == info.Config.MaxBytes && cfg.Replicas == info.Config.Replicas {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := b.js.UpdateStream(ctx, cfg)
	if err != nil {
		return fmt.Errorf("change topic %s: %w", want.Name, err)
	}
	info.Config = stream.CachedInfo().Config
	return nil
}

// maxAge and maxBytes are limits as a stream has them.
func maxAge(retention time.Duration) time.Duration {
	if retention == broker.Unlimited {
		return 0
	}
	return retention
}

func maxBytes(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
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
