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
	read(ctx context.Context, count int) (chunk, error)
	// settle acknowledges entries. To do so again changes nothing.
	settle(ctx context.Context, ids []entryID) error
}

// chunk is records as they were read, with their places in the stream. They have no sequences yet.
type chunk struct {
	deliveries []broker.Delivery
	places     []place
}

// place is where a record is, and about how large.
type place struct {
	id   entryID
	size int
}

func (c *chunk) last() entryID { return c.places[len(c.places)-1].id }

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
	answer     answer
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

func (o *owner) read(ctx context.Context, count int) (chunk, error) {
	if o.recovering {
		return o.recover(ctx, count)
	}
	if o.idle {
		if news, err := o.lookOut(ctx); !news || err != nil {
			return chunk{}, err
		}
	}
	err := o.guarded(ctx, o.answered(ctx, "xreadgroup", "group", o.src.group, consumer, "count", count, "streams", o.src.stream, ">"))
	if err != nil {
		return chunk{}, err
	}
	c, err := o.src.chunk(&o.answer)
	switch {
	case err != nil:
		return c, err
	case len(c.places) > 0:
		o.seen = c.last()
	case o.idle:
		return c, errRival
	}
	o.idle = len(c.places) == 0
	return c, nil
}

// recover takes what is pending over, whoever has read it: the owner before, or this one when the answer was lost.
func (o *owner) recover(ctx context.Context, count int) (chunk, error) {
	err := o.guarded(ctx, o.answered(ctx, "xautoclaim", o.src.stream, o.src.group, consumer, 0, o.cursor.String(), "count", count))
	if err != nil {
		return chunk{}, err
	}
	r := reply{rest: o.answer.bytes}
	next, n, err := r.claimed()
	if err != nil {
		return chunk{}, explain(err)
	}
	c, err := o.src.read(&r, n)
	if err != nil {
		return chunk{}, err
	}
	deleted, err := r.deleted()
	if err != nil {
		return chunk{}, err
	}
	o.reportLost(ctx, deleted)
	o.cursor, o.recovering = next, next != entryID{}
	return c, nil
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
	if err = o.b.tail(ctx, o.src.stream, o.seen, 1, &o.answer); err != nil {
		return false, err
	}
	r := reply{rest: o.answer.bytes}
	n, err := r.stream()
	return n > 0, explain(err)
}

// answered is a command whose answer is kept as it comes.
func (o *owner) answered(ctx context.Context, args ...any) goredis.Cmder {
	o.answer.clear()
	return goredis.NewRawWriteToCmd(ctx, &o.answer, args...)
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

func (o *owner) settle(ctx context.Context, ids []entryID) error {
	args := make([]any, 0, len(ids)+3)
	args = append(args, "xack", o.src.stream, o.src.group)
	for _, id := range ids {
		args = append(args, id.String())
	}
	return o.guarded(ctx, goredis.NewIntCmd(ctx, args...))
}

// loner reads a partition without a group. The server knows nothing of it.
type loner struct {
	b   *Broker
	src source
	at  entryID // what was read last
	answer
}

func (*loner) open(context.Context) error { return nil }

func (l *loner) read(ctx context.Context, count int) (chunk, error) {
	if err := l.b.tail(ctx, l.src.stream, l.at, count, &l.answer); err != nil {
		return chunk{}, err
	}
	c, err := l.src.chunk(&l.answer)
	if len(c.places) > 0 {
		l.at = c.last()
	}
	return c, err
}

func (*loner) settle(context.Context, []entryID) error { return nil }

// tail asks for what is in a stream behind an entry. The server waits for a moment if there is nothing.
func (b *Broker) tail(ctx context.Context, stream string, after entryID, count int, a *answer) error {
	node, err := b.node(ctx, stream)
	if err != nil {
		return err
	}
	a.clear()
	return explain(node.DoRawWriteTo(ctx, a, "xread", "count", count, "block", lookout.Milliseconds(), "streams", stream, after.String()).Err())
}

// chunk makes records of the answer to a reading of the source's stream.
func (s *source) chunk(a *answer) (chunk, error) {
	r := reply{rest: a.bytes}
	n, err := r.stream()
	if err != nil {
		return chunk{}, fmt.Errorf("read the stream %s: %w", s.stream, explain(err))
	}
	return s.read(&r, n)
}

func (s *source) read(r *reply, n int) (chunk, error) {
	c := chunk{deliveries: make([]broker.Delivery, 0, max(n, 0)), places: make([]place, 0, max(n, 0))}
	err := r.entries(n, func(e entry) {
		c.deliveries = append(c.deliveries, broker.Delivery{Record: record(s.topic.name, e.fields), Partition: s.partition, Time: e.id.time()})
		c.places = append(c.places, place{e.id, e.size})
	})
	return c, err
}
