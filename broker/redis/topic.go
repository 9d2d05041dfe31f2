package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
)

// topic is what is known of a topic. Its partitions never change while it lives.
type topic struct {
	name    string
	streams []string // one for each partition
	limits
}

// limits are how long and how much a topic keeps.
type limits struct {
	retention  time.Duration
	maxRecords int   // in a partition; zero: no limit
	maxBytes   int64 // in the topic; zero: no limit
}

// topicHash is a topic as the server has it. Zero is no limit.
type topicHash struct {
	Partitions int   `redis:"partitions"`
	Retention  int64 `redis:"retention_ms"`
	MaxRecords int   `redis:"max_records"`
	MaxBytes   int64 `redis:"max_bytes"`
}

// topic looks a topic up, once: after that it is remembered until publishing finds that it is gone.
func (b *Broker) topic(ctx context.Context, name string) (*topic, error) {
	b.mu.Lock()
	t := b.topics[name]
	b.mu.Unlock()
	if t != nil {
		return t, nil
	}
	return b.lookUp(ctx, name)
}

// lookUp asks the server for a topic.
func (b *Broker) lookUp(ctx context.Context, name string) (*topic, error) {
	if err := checks.Name("topic", name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	answer := b.client.HGetAll(ctx, topicKey(name))
	var h topicHash
	if err := answer.Scan(&h); err != nil {
		return nil, fmt.Errorf("look up topic %s: %w", name, explain(err))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.topics, name)
	if len(answer.Val()) == 0 {
		return nil, unknownTopic(name)
	}
	if h.Partitions < 1 {
		return nil, fmt.Errorf("look up topic %s: the hash %s has no number of partitions: %w", name, topicKey(name), errForeign)
	}
	t := &topic{name: name, limits: limits{time.Duration(h.Retention) * time.Millisecond, h.MaxRecords, h.MaxBytes}}
	if h.Retention == 0 {
		t.retention = broker.Unlimited
	}
	for p := range h.Partitions {
		t.streams = append(t.streams, streamKey(name, p))
	}
	b.topics[name] = t
	return t, nil
}

func unknownTopic(name string) error {
	return fmt.Errorf("topic %s has no hash %s, or a stream of its partitions is missing: create it with Topics(ctx, broker.Apply, …): %w",
		name, topicKey(name), broker.ErrUnknownTopic)
}

func (b *Broker) forget(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.topics, topic)
}

// Topics implements [broker.Broker]. Apply makes topics that are missing, and streams that are missing of those that exist. Alter changes
// limits. The number of partitions it can't change: who publishes remembers it, and where a key goes must not depend on when a
// process began. Nor can it change on how many servers a topic is kept: that is what the server's replicas are for.
func (b *Broker) Topics(ctx context.Context, op broker.Op, want ...broker.Topic) ([]broker.TopicState, error) {
	end, err := b.begin()
	if err != nil {
		return nil, fmt.Errorf("redis: topics: %w", err)
	}
	defer end()
	if op == broker.Survey && len(want) == 0 {
		if want, err = b.allTopics(ctx); err != nil {
			return nil, fmt.Errorf("redis: list the topics: %w", explain(err))
		}
	}
	states := make([]broker.TopicState, len(want))
	for i, w := range want {
		if err = checkTopic(&w); err == nil {
			states[i], err = b.state(ctx, op, w)
		}
		if err != nil {
			return nil, fmt.Errorf("redis: topic %s: %w", w.Name, explain(err))
		}
	}
	return states, nil
}

// checkTopic refuses what no topic can be.
func checkTopic(want *broker.Topic) error {
	if err := checks.Name("topic", want.Name); err != nil {
		return err
	}
	if want.Partitions < 0 || want.Retention < 0 || want.Replication < 0 || want.MaxBytes < 0 {
		return fmt.Errorf("partitions %d, retention %v, replication %d and %d bytes must not be negative: %w",
			want.Partitions, want.Retention, want.Replication, want.MaxBytes, broker.ErrInvalid)
	}
	if want.Compact {
		return fmt.Errorf("a stream can't be compacted, that is keep the newest record of each key: leave Compact out: %w", broker.ErrInvalid)
	}
	return nil
}

func (b *Broker) state(ctx context.Context, op broker.Op, want broker.Topic) (broker.TopicState, error) {
	if want.Live { // a channel is there as soon as somebody uses it
		return broker.TopicState{Topic: want}, nil
	}
	if (op == broker.Apply || op == broker.Alter) && !want.External {
		if err := b.provide(ctx, op, want); err != nil {
			return broker.TopicState{}, err
		}
	}
	t, err := b.lookUp(ctx, want.Name)
	switch {
	case errors.Is(err, broker.ErrUnknownTopic):
		return broker.TopicState{Topic: want, Missing: true, Diff: []string{"the topic does not exist"}}, nil
	case errors.Is(err, errForeign):
		return broker.TopicState{Topic: want, Diff: []string{err.Error()}}, nil
	case err != nil:
		return broker.TopicState{}, err
	}
	return b.describe(ctx, op, want, t)
}

// describe compares a topic with what is wanted.
func (b *Broker) describe(ctx context.Context, op broker.Op, want broker.Topic, t *topic) (broker.TopicState, error) {
	state := broker.TopicState{Topic: want}
	state.Partitions, state.Retention, state.MaxBytes = len(t.streams), t.retention, t.maxBytes
	if want.Replication != 0 {
		n, err := b.replication(ctx, t)
		if err != nil {
			return state, err
		}
		state.Replication = n
	}
	state.Diff = broker.Differences(&want, &state.Topic)
	s, err := b.standings(ctx, t)
	if err != nil {
		return state, err
	}
	state.Diff = append(state.Diff, s.missing...)
	state.Messages = s.messages()
	if len(want.Groups) > 0 {
		state.Lag = make(map[string]uint64, len(want.Groups))
	}
	for _, group := range want.Groups {
		var r broker.Readership
		if r, err = s.readership(ctx, b, group); err != nil {
			return state, err
		}
		state.Lag[group] = r.Lag
	}
	if op == broker.Survey {
		state.Readers, err = s.readers(ctx, b)
	}
	return state, err
}

// makeTopic makes the hash of a topic unless there is one, and tells how many partitions it has. ARGV are field and value of all
// settings, then "alter" and the fields and values that are wanted of a topic that exists.
var makeTopic = goredis.NewScript(`
local alter
for i = 1, #ARGV do if ARGV[i] == 'alter' then alter = i end end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 1, alter - 1))
elseif alter < #ARGV then
  redis.call('HSET', KEYS[1], unpack(ARGV, alter + 1))
end
return tonumber(redis.call('HGET', KEYS[1], 'partitions') or '0')`)

// makeStream makes an empty stream unless there is one.
var makeStream = goredis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[1], 'new', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[1], 'new')
end
return 1`)

// provide makes a topic, or what is missing of it. Two processes may do that at the same time: the first decides.
func (b *Broker) provide(ctx context.Context, op broker.Op, want broker.Topic) error {
	var alter []any
	if op == broker.Alter && want.Retention != 0 {
		alter = append(alter, "retention_ms", millis(want.Retention))
	}
	if op == broker.Alter && want.MaxBytes != 0 {
		alter = append(alter, "max_bytes", want.MaxBytes)
	}
	setDefault(&want.Partitions, b.cfg.Partitions)
	setDefault(&want.Retention, b.cfg.Retention)
	args := []any{
		"partitions", want.Partitions, "retention_ms", millis(want.Retention), "max_records", b.cfg.MaxRecords, "max_bytes", want.MaxBytes, "alter",
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	partitions, err := makeTopic.Run(ctx, b.client, []string{topicKey(want.Name)}, append(args, alter...)...).Int()
	if err != nil {
		return ignoreForeign(err)
	}
	for p := range partitions {
		if err := makeStream.Run(ctx, b.client, []string{streamKey(want.Name, p)}).Err(); err != nil {
			return err
		}
	}
	return nil
}

// millis is a retention as the server has it.
func millis(retention time.Duration) int64 {
	if retention == broker.Unlimited {
		return 0
	}
	return max(retention.Milliseconds(), 1)
}

// ignoreForeign leaves it to the inspection to say what is wrong with a key of another type.
func ignoreForeign(err error) error {
	if strings.Contains(err.Error(), "WRONGTYPE") {
		return nil
	}
	return err
}
