package redis

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// trimEvery is how often streams are relieved of what is too old.
const trimEvery = 30 * time.Second

// trimmer removes from the streams that this broker has to do with what is too old or too much, and settled by all groups.
type trimmer struct {
	b *Broker

	mu sync.Mutex
	// streams are those of this broker's partitions and publishers, by topic.
	streams map[string]map[string]bool
	// blamed are the groups that were complained about.
	blamed map[string]bool
}

func newTrimmer(b *Broker) *trimmer {
	return &trimmer{b: b, streams: map[string]map[string]bool{}, blamed: map[string]bool{}}
}

// watch adds a stream to those that are trimmed.
func (t *trimmer) watch(topic, stream string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.streams[topic] == nil {
		t.streams[topic] = map[string]bool{}
	}
	t.streams[topic][stream] = true
}

func (t *trimmer) run() {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.b.gone.Done():
			return
		case <-tick.C:
			t.trimAll(t.b.gone)
		}
	}
}

func (t *trimmer) trimAll(ctx context.Context) {
	t.mu.Lock()
	watched := make(map[string][]string, len(t.streams))
	for topic, streams := range t.streams {
		watched[topic] = slices.Collect(maps.Keys(streams))
	}
	t.mu.Unlock()
	for name, streams := range watched {
		topic, err := t.b.lookUp(ctx, name) // limits may have changed
		if err != nil {
			continue // the next time
		}
		for _, stream := range streams {
			t.trim(ctx, stream, topic)
		}
	}
}

// trimStream removes the oldest entries of a stream, at most as many as are removed in a moment. ARGV: the age in ms from which
// on entries are too old, how many entries and how many bytes are too many (0: never), and how many entries may be removed because of that.
//
// No entry goes that a group has not read or not acknowledged: the floor. It tells how many went, and which group's floor keeps
// entries that are too old, with the floor's time.
var trimStream = goredis.NewScript(`
local function parts(id)
  local ms, n = string.match(id, '(%d+)-(%d+)')
  return tonumber(ms), tonumber(n)
end
local function less(a, b)
  local ams, an = parts(a)
  local bms, bn = parts(b)
  return ams < bms or ams == bms and an < bn
end
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, '', 0} end
local floor, holder = nil, ''
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local facts = {}
  for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
  local low = facts['last-delivered-id']
  if facts.pending > 0 then
    local oldest = redis.call('XPENDING', KEYS[1], facts.name)[2]
    if less(oldest, low) then low = oldest end
  end
  if not floor or less(low, floor) then floor, holder = low, facts.name end
end
local removed, late = 0, 0
if ARGV[1] ~= '0' then
  local now = redis.call('TIME')
  local old = string.format('%.0f-0', math.max(now[1] * 1000 + math.floor(now[2] / 1000) - ARGV[1], 0))
  if floor and less(floor, old) then
    old, late = floor, (parts(floor))
  end
  removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', old)
end
local length, excess = redis.call('XLEN', KEYS[1]), 0
if ARGV[2] ~= '0' then excess = length - ARGV[2] end
if ARGV[3] ~= '0' then
  local bytes = redis.call('MEMORY', 'USAGE', KEYS[1])
  excess = math.max(excess, math.floor(length * (1 - ARGV[3] / bytes)))
end
if excess > 0 then
  local last = floor and '(' .. floor or '+'
  local entries = redis.call('XRANGE', KEYS[1], '-', last, 'COUNT', math.min(excess, ARGV[4]))
  if #entries > 0 then
    local ms, n = string.match(entries[#entries][1], '(%d+)-(%d+)')
    removed = removed + redis.call('XTRIM', KEYS[1], 'MINID', '=', ms .. '-' .. string.format('%.0f', n + 1))
  end
end
return {removed, late > 0 and holder or '', late}`)

// trimAtOnce is how many entries one call removes because there are too many. It reads them.
const trimAtOnce = 200

// trim removes what it may from one stream.
func (t *trimmer) trim(ctx context.Context, stream string, topic *topic) {
	bytes := topic.maxBytes / int64(len(topic.streams))
	for more := true; more && ctx.Err() == nil; {
		ctxTry, cancel := context.WithTimeout(ctx, apiTimeout)
		answer, err := trimStream.Run(ctxTry, t.b.client, []string{stream}, millis(topic.retention), topic.maxRecords, bytes, trimAtOnce).Slice()
		cancel()
		if err != nil {
			return // the next time
		}
		removed, _ := answer[0].(int64)
		holder, _ := answer[1].(string)
		since, _ := answer[2].(int64)
		t.blame(ctx, stream, holder, time.UnixMilli(since), topic.retention)
		more = removed >= trimAtOnce
	}
}

// blame complains once about a group that holds back the trimming for twice as long as records are to be kept.
func (t *trimmer) blame(ctx context.Context, stream, group string, since time.Time, retention time.Duration) {
	if group == "" || time.Since(since)/2 < retention {
		return
	}
	t.mu.Lock()
	before := t.blamed[stream+group]
	t.blamed[stream+group] = true
	t.mu.Unlock()
	if !before {
		t.b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "a group has not settled records that are much older than their retention, so they stay in memory",
			slog.String("stream", stream), slog.String("group", group), slog.Time("oldest", since),
			slog.String("remedy", "if nobody needs the group any more: XGROUP DESTROY "+stream+" "+group))
	}
}
