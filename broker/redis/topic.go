package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
)

// topic is what is known of a topic. It never changes while the topic lives.
type topic struct {
	name    string
	streams []string // one for each partition
	limits
}

// limits are how long and how much a topic keeps.
type limits struct {
	retention  time.Duration
	maxRecords int
}

// topicHash is a topic as the server has it.
type topicHash struct {
	Partitions int   `redis:"partitions"`
	Retention  int64 `redis:"retention_ms"`
	MaxRecords int   `redis:"max_records"`
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
	if err := checkName("topic", name); err != nil {
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
	t := &topic{name: name, limits: limits{time.Duration(h.Retention) * time.Millisecond, h.MaxRecords}}
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

// Topics implements [broker.Broker]. Apply makes topics that are missing, and streams that are missing of those that exist; it changes
// nothing else. Where topics differ from what is wanted the answer says so. Live topics need nothing.
func (b *Broker) Topics(ctx context.Context, op broker.Op, want ...broker.Topic) ([]broker.TopicState, error) {
	end, err := b.begin()
	if err != nil {
		return nil, fmt.Errorf("redis: topics: %w", err)
	}
	defer end()
	states := make([]broker.TopicState, len(want))
	for i, w := range want {
		if states[i], err = b.inspect(ctx, op, w); err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
	}
	return states, nil
}

func (b *Broker) inspect(ctx context.Context, op broker.Op, want broker.Topic) (broker.TopicState, error) {
	if err := checkName("topic", want.Name); err != nil {
		return broker.TopicState{}, err
	}
	if want.Live {
		return broker.TopicState{Topic: want}, nil
	}
	if op == broker.Apply && !want.External {
		if err := b.create(ctx, want); err != nil {
			return broker.TopicState{}, fmt.Errorf("create topic %s: %w", want.Name, explain(err))
		}
	}
	t, err := b.lookUp(ctx, want.Name)
	if errors.Is(err, broker.ErrUnknownTopic) {
		return broker.TopicState{Topic: want, Missing: true, Diff: []string{"the topic does not exist"}}, nil
	}
	if errors.Is(err, errForeign) {
		return broker.TopicState{Topic: want, Diff: []string{err.Error()}}, nil
	}
	if err != nil {
		return broker.TopicState{}, err
	}
	state := broker.TopicState{Topic: want}
	state.Partitions, state.Retention = len(t.streams), t.retention
	state.Diff = diff(want, state.Topic)
	if err := b.count(ctx, t, &state); err != nil {
		return state, fmt.Errorf("count the records of topic %s: %w", want.Name, explain(err))
	}
	return state, nil
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

// makeTopic makes the hash of a topic unless there is one, and tells how many partitions it has.
var makeTopic = goredis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'partitions', ARGV[1], 'retention_ms', ARGV[2], 'max_records', ARGV[3])
end
return tonumber(redis.call('HGET', KEYS[1], 'partitions') or '0')`)

// makeStream makes an empty stream unless there is one.
var makeStream = goredis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[1], 'new', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[1], 'new')
end
return 1`)

// create makes a topic, or what is missing of it. Two processes may do that at the same time: the first decides.
func (b *Broker) create(ctx context.Context, want broker.Topic) error {
	setDefault(&want.Partitions, b.cfg.Partitions)
	setDefault(&want.Retention, b.cfg.Retention)
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	partitions, err := makeTopic.Run(ctx, b.client, []string{topicKey(want.Name)}, want.Partitions, want.Retention.Milliseconds(), b.cfg.MaxRecords).Int()
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

// ignoreForeign leaves it to the inspection to say what is wrong with a key of another type.
func ignoreForeign(err error) error {
	if strings.Contains(err.Error(), "WRONGTYPE") {
		return nil
	}
	return err
}

// count fills in how many records a topic holds, and how many of them the groups have not settled.
func (b *Broker) count(ctx context.Context, t *topic, state *broker.TopicState) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	pipe := b.client.Pipeline()
	lengths := make([]*goredis.IntCmd, len(t.streams))
	groups := make([]*goredis.XInfoGroupsCmd, len(t.streams))
	for p, stream := range t.streams {
		lengths[p] = pipe.XLen(ctx, stream)
		if len(state.Groups) > 0 {
			groups[p] = pipe.XInfoGroups(ctx, stream)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !isNoKey(err) {
		return err
	}
	if len(state.Groups) > 0 {
		state.Lag = make(map[string]uint64, len(state.Groups))
	}
	for p, stream := range t.streams {
		state.Messages += uint64(lengths[p].Val())
		if groups[p] != nil && isNoKey(groups[p].Err()) {
			state.Diff = append(state.Diff, fmt.Sprintf("partition %d: the stream %s is missing", p, stream))
		}
		for _, name := range state.Groups {
			open := uint64(lengths[p].Val()) // of a group that has not begun
			for _, g := range groups[p].Val() {
				if g.Name != name {
					continue
				}
				behind, err := b.behind(ctx, stream, g)
				if err != nil {
					return err
				}
				open = uint64(g.Pending) + behind
			}
			state.Lag[name] += open
		}
	}
	return nil
}

func isNoKey(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "ERR no such key") }

// countAfter counts up to 1000 entries after an ID, and returns the last of them.
var countAfter = goredis.NewScript(`
local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1000)
return {#entries, #entries > 0 and entries[#entries][1] or ''}`)

// behind is how many entries a group has not read. The server knows, unless the group began in the middle of the stream, or entries were deleted.
func (b *Broker) behind(ctx context.Context, stream string, g goredis.XInfoGroup) (uint64, error) {
	if g.Lag >= 0 {
		return uint64(g.Lag), nil
	}
	total, last := uint64(0), g.LastDeliveredID
	for {
		answer, err := countAfter.Run(ctx, b.client, []string{stream}, last).Slice()
		if err != nil {
			return 0, err
		}
		n, ok := answer[0].(int64)
		if !ok || n == 0 {
			return total, nil
		}
		total += uint64(n)
		if last, ok = answer[1].(string); !ok || n < 1000 {
			return total, nil
		}
	}
}
