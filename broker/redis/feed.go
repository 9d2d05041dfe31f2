package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
)

// feed is how a partition is read: as the owner for a group, or alone.
type feed interface {
	// open gets ready to read, for the first time or after a failure. What was read already comes again.
	open(ctx context.Context) error
	// read returns up to count records. If there are none it waits for some, no longer than a moment.
	read(ctx context.Context, count int) ([]arrival, error)
	// settle acknowledges entries. To do so again changes nothing.
	settle(ctx context.Context, ids []string) error
}

// arrival is a record as it was read, with its place in the stream. It has no sequence yet.
type arrival struct {
	broker.Delivery
	id   entryID
	size int
}

// Why an owner has to open its partition again.
var (
	// errStale says that a later owner has it already.
	errStale = errors.New("the partition has a newer owner")
	// errFence says that it was opened by somebody else since, or that the server has forgotten who did.
	errFence = errors.New("the partition was opened anew")
	// errRival says that records were read by somebody who does not ask who owns the partition.
	errRival = errors.New("another program reads with this group")
)

// consumer is the one name under which a group reads.
const consumer = "owner"

// lookout is how long one request waits for new entries. Whoever wants to end a reader waits no longer.
const lookout = 300 * time.Millisecond

// owner reads a partition for a group. What is read goes to the consumer group's list of pending entries, and leaves it when it is settled.
type owner struct {
	b     *Broker
	src   source
	fence string
	epoch uint64
	// force is for when the fence holds an epoch that nobody else can have any more.
	force bool
	// token is what opening has written to the fence. It changes with each opening, so that earlier ones can do nothing more.
	token atomic.Int64

	recovering bool
	cursor     entryID // where the recovery goes on
	seen       entryID // the last entry that was delivered to the group
	idle       bool    // there was nothing new
}

// take opens a partition: it raises the fence, makes the consumer group if it is missing, and tells what the group has read.
var take = goredis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, ''} end
local epoch = redis.call('HGET', KEYS[2], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[2]) and ARGV[4] ~= '1' then return {-1, ''} end
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], ARGV[5])
if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP') then return redis.error_reply(made.err) end
redis.call('HSET', KEYS[2], 'epoch', ARGV[2], 'owner', ARGV[3])
local token = redis.call('HINCRBY', KEYS[2], 'token', 1)
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local facts = {}
  for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
  if facts.name == ARGV[1] then return {token, facts['last-delivered-id']} end
end`)

func (o *owner) open(ctx context.Context) error {
	force := 0
	if o.force {
		force = 1
	}
	answer, err := take.Run(ctx, o.b.client, []string{o.src.stream, o.fence}, o.src.group, o.epoch, o.b.member, force, o.src.after.String()).Slice()
	if err != nil {
		return explain(err)
	}
	token, ok1 := answer[0].(int64)
	last, ok2 := answer[1].(string)
	switch {
	case !ok1 || !ok2:
		return errReply
	case token < 0:
		return errStale
	case token == 0:
		return unknownTopic(o.src.topic.name)
	}
	o.token.Store(token)
	o.seen, _ = parseID([]byte(last))
	o.recovering, o.cursor, o.idle, o.force = true, entryID{}, false, false
	return nil
}

func (o *owner) read(ctx context.Context, count int) ([]arrival, error) {
	if o.recovering {
		return o.recover(ctx, count)
	}
	if o.idle {
		if news, err := o.lookOut(ctx); !news || err != nil {
			return nil, err
		}
	}
	answer := goredis.NewRawCmd(ctx, "xreadgroup", "group", o.src.group, consumer, "count", count, "streams", o.src.stream, ">")
	if err := o.guarded(ctx, answer); err != nil {
		return nil, err
	}
	arrivals, err := arrivalsOf(&o.src, answer.Val())
	switch {
	case err != nil:
		return nil, err
	case len(arrivals) > 0:
		o.seen = arrivals[len(arrivals)-1].id
	case o.idle:
		return nil, errRival
	}
	o.idle = len(arrivals) == 0
	return arrivals, nil
}

// recover takes what is pending over, whoever has read it: the owner before, or this one when the answer was lost.
func (o *owner) recover(ctx context.Context, count int) ([]arrival, error) {
	answer := goredis.NewRawCmd(ctx, "xautoclaim", o.src.stream, o.src.group, consumer, 0, o.cursor.String(), "count", count)
	if err := o.guarded(ctx, answer); err != nil {
		return nil, err
	}
	r := reply{rest: answer.Val()}
	var arrivals []arrival
	next, deleted, err := r.claimed(func(e entry) { arrivals = append(arrivals, arrivalOf(&o.src, e)) })
	if err != nil {
		return nil, err
	}
	o.reportLost(ctx, deleted)
	o.cursor, o.recovering = next, next != entryID{}
	return arrivals, nil
}

func (o *owner) reportLost(ctx context.Context, ids []entryID) {
	if len(ids) == 0 {
		return
	}
	o.b.lost.Add(uint64(len(ids)))
	o.b.cfg.Log.LogAttrs(ctx, slog.LevelError, "records were removed from the server before they were settled",
		o.src.attrs(slog.Int("records", len(ids)), slog.String("first", ids[0].String()), slog.String("last", ids[len(ids)-1].String()))...)
}

// lookOut waits until there is something behind what was read. That is no reading: nothing changes.
func (o *owner) lookOut(ctx context.Context) (news bool, err error) {
	raw, err := o.b.tail(ctx, o.src.stream, o.seen, 1)
	if err != nil {
		return false, err
	}
	r := reply{rest: raw}
	err = r.stream(func(entry) { news = true })
	return news, err
}

// guarded runs a command if the partition is still open as this owner has opened it.
func (o *owner) guarded(ctx context.Context, command goredis.Cmder) error {
	look := goredis.NewStringCmd(ctx, "hget", o.fence, "token")
	t := transaction{guard: o.fence, look: look, do: []goredis.Cmder{command}, agree: func() error {
		if token, err := look.Int64(); err != nil || token != o.token.Load() {
			return errFence
		}
		return nil
	}}
	return explain(t.run(ctx, o.b))
}

// settled acknowledges entries, unless the partition was opened by somebody else since.
var settled = goredis.NewScript(`
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then return -1 end
return redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 3))`)

func (o *owner) settle(ctx context.Context, ids []string) error {
	args := make([]any, 0, len(ids)+2)
	args = append(args, o.src.group, o.token.Load())
	for i := range ids {
		args = append(args, &ids[i])
	}
	n, err := settled.Run(ctx, o.b.client, []string{o.src.stream, o.fence}, args...).Int()
	if err != nil {
		return explain(err)
	}
	if n < 0 {
		return errFence
	}
	return nil
}

// loner reads a partition without a group. The server knows nothing of it.
type loner struct {
	b   *Broker
	src source
	at  entryID // what was read last
}

func (*loner) open(context.Context) error { return nil }

func (l *loner) read(ctx context.Context, count int) ([]arrival, error) {
	raw, err := l.b.tail(ctx, l.src.stream, l.at, count)
	if err != nil {
		return nil, err
	}
	arrivals, err := arrivalsOf(&l.src, raw)
	if len(arrivals) > 0 {
		l.at = arrivals[len(arrivals)-1].id
	}
	return arrivals, err
}

func (*loner) settle(context.Context, []string) error { return nil }

// tail returns what is in a stream behind an entry, as it comes from the server. It waits for a moment if there is nothing.
func (b *Broker) tail(ctx context.Context, stream string, after entryID, count int) ([]byte, error) {
	node, err := b.node(ctx, stream)
	if err != nil {
		return nil, err
	}
	raw, err := node.DoRaw(ctx, "xread", "count", count, "block", lookout.Milliseconds(), "streams", stream, after.String()).Bytes()
	return raw, explain(err)
}

func arrivalsOf(src *source, raw []byte) ([]arrival, error) {
	r := reply{rest: raw}
	var arrivals []arrival
	if err := r.stream(func(e entry) { arrivals = append(arrivals, arrivalOf(src, e)) }); err != nil {
		return nil, fmt.Errorf("read the stream %s: %w", src.stream, explain(err))
	}
	return arrivals, nil
}

func arrivalOf(src *source, e entry) arrival {
	return arrival{
		Delivery: broker.Delivery{Record: record(src.topic.name, e.fields), Partition: src.partition, Time: e.id.time()},
		id:       e.id, size: e.size,
	}
}
