package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
)

// standings are where groups stand in a topic, by partition.
type standings struct {
	topic   *topic
	lengths []uint64
	groups  []map[string]goredis.XInfoGroup
	missing []string // a line for each stream that is not there
}

func (b *Broker) standings(ctx context.Context, t *topic) (*standings, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	pipe := b.client.Pipeline()
	lengths := make([]*goredis.IntCmd, len(t.streams))
	groups := make([]*goredis.XInfoGroupsCmd, len(t.streams))
	for p, stream := range t.streams {
		lengths[p] = pipe.XLen(ctx, stream)
		groups[p] = pipe.XInfoGroups(ctx, stream)
	}
	if _, err := pipe.Exec(ctx); err != nil && !isNoKey(err) {
		return nil, fmt.Errorf("count the records: %w", err)
	}
	s := &standings{topic: t}
	for p, stream := range t.streams {
		s.lengths = append(s.lengths, uint64(lengths[p].Val()))
		byName := map[string]goredis.XInfoGroup{}
		if isNoKey(groups[p].Err()) {
			s.missing = append(s.missing, fmt.Sprintf("partition %d: the stream %s is missing", p, stream))
		}
		for _, g := range groups[p].Val() {
			byName[g.Name] = g
		}
		s.groups = append(s.groups, byName)
	}
	return s, nil
}

func isNoKey(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "ERR no such key") }

func (s *standings) messages() uint64 {
	var sum uint64
	for _, n := range s.lengths {
		sum += n
	}
	return sum
}

// readers are the groups that have a position in the topic.
func (s *standings) readers(ctx context.Context, b *Broker) ([]broker.Readership, error) {
	names := map[string]bool{}
	for _, groups := range s.groups {
		for name := range groups {
			names[name] = true
		}
	}
	var readers []broker.Readership
	for _, name := range slices.Sorted(maps.Keys(names)) {
		r, err := s.readership(ctx, b, name)
		if err != nil {
			return nil, err
		}
		if r.Members, err = (&cell{b: b, key: leaseKey(name, s.topic.name)}).members(ctx); err != nil {
			return nil, err
		}
		readers = append(readers, r)
	}
	return readers, nil
}

// readership is what one group has not settled.
func (s *standings) readership(ctx context.Context, b *Broker, group string) (broker.Readership, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	all := broker.Readership{Group: group}
	for p, stream := range s.topic.streams {
		g, begun := s.groups[p][group]
		if !begun {
			g.LastDeliveredID, g.Lag = "0-0", int64(s.lengths[p])
		}
		behind, err := b.behind(ctx, stream, g)
		if err != nil {
			return all, fmt.Errorf("count what group %s has not read: %w", group, err)
		}
		open := uint64(g.Pending) + behind
		if open == 0 {
			continue
		}
		all.Lag += open
		oldest, err := b.oldest(ctx, stream, g)
		if err != nil {
			return all, fmt.Errorf("look at the oldest record that group %s has not settled: %w", group, err)
		}
		if !oldest.IsZero() && (all.Oldest.IsZero() || oldest.Before(all.Oldest)) {
			all.Oldest = oldest
		}
	}
	return all, nil
}

// oldest is when the first record that a group has not settled was stored. Zero: it is gone, or settled by now.
func (b *Broker) oldest(ctx context.Context, stream string, g goredis.XInfoGroup) (time.Time, error) {
	if g.Pending > 0 {
		pending, err := b.client.XPending(ctx, stream, g.Name).Result()
		if err != nil {
			return time.Time{}, err
		}
		if id, ok := parseID([]byte(pending.Lower)); ok {
			return id.time(), nil
		}
	}
	next, err := b.client.XRangeN(ctx, stream, "("+g.LastDeliveredID, "+", 1).Result()
	if err != nil || len(next) == 0 {
		return time.Time{}, err
	}
	id, _ := parseID([]byte(next[0].ID))
	return id.time(), nil
}

// countAfter counts up to 1000 entries after an ID, and returns the last of them.
var countAfter = goredis.NewScript(`
local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1000)
return {#entries, #entries > 0 and entries[#entries][1] or ''}`)

// behind is how many entries a group has not read. The server knows, unless the group began in the middle of the stream, or
// entries were deleted.
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

// replication is on how many servers a topic is kept: the one that has its first partition, and its replicas
// that follow it.
func (b *Broker) replication(ctx context.Context, t *topic) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	node, err := b.node(ctx, t.streams[0])
	if err != nil {
		return 0, err
	}
	info, err := node.InfoMap(ctx, "replication").Result()
	if err != nil {
		return 0, fmt.Errorf("count the replicas: %w", err)
	}
	n := 1
	for name, state := range info["Replication"] {
		if strings.HasPrefix(name, "slave") && strings.Contains(state, "state=online") {
			n++
		}
	}
	return n, nil
}

// allTopics are all topics that any server has.
func (b *Broker) allTopics(ctx context.Context) ([]broker.Topic, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var mu sync.Mutex
	names := map[string]bool{}
	scan := func(ctx context.Context, c *goredis.Client) error {
		found := c.Scan(ctx, 0, topicKey("*"), 1000).Iterator()
		for found.Next(ctx) {
			mu.Lock()
			names[strings.TrimPrefix(found.Val(), topicKey(""))] = true
			mu.Unlock()
		}
		return found.Err()
	}
	if err := b.eachServer(ctx, scan); err != nil {
		return nil, err
	}
	var all []broker.Topic
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if checks.Name("topic", name) == nil {
			all = append(all, broker.Topic{Name: name})
		}
	}
	return all, nil
}
