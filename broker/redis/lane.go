package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Limits of one batch: so much that round trips do not matter, so little that the server is not held up for others.
const (
	maxBatch      = 500
	maxBatchBytes = 1 << 20
)

// lane stores the messages of one partition, one batch after the other: while a batch is on its way, the next one gathers. Its
// goroutine lives only while there is something to store.
type lane struct {
	outlet    *outlet
	partition int
	stream    string
	sent      string // the key that remembers the last batch

	mu      sync.Mutex
	queue   []*message
	running bool
}

// batch is what is stored as one.
type batch struct {
	messages []*message
	number   uint64 // never used twice by one broker
}

// add is called under the outlet's lock, and within the broker's or by a goroutine that Close waits for.
func (l *lane) add(m *message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.command[streamArgument] = &l.stream
	l.queue = append(l.queue, m)
	if !l.running {
		l.running = true
		l.outlet.running.Add(1)
		l.outlet.b.publishing.Go(l.run)
	}
}

func (l *lane) run() {
	defer l.outlet.running.Done()
	b := l.outlet.b
	for {
		next := l.take()
		if len(next) == 0 {
			return
		}
		ids, err := l.store(&batch{messages: next, number: b.batches.Add(1)})
		if err == nil {
			b.confirm(next, l.partition, ids)
			continue
		}
		b.fail(next, err)
		b.fail(l.takeAll(), giveUp(err))
		if gone(err) {
			l.outlet.expire()
		}
	}
}

// take removes the next batch from the queue. If there is none the goroutine ends.
func (l *lane) take() []*message {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.running, l.queue = false, nil
		return nil
	}
	n, bytes := 1, l.queue[0].size
	for n < len(l.queue) && n < maxBatch && bytes+l.queue[n].size <= maxBatchBytes {
		bytes += l.queue[n].size
		n++
	}
	messages := l.queue[:n:n]
	l.queue = l.queue[n:]
	return messages
}

func (l *lane) takeAll() []*message {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.queue
	l.queue = nil
	return all
}

// store returns the IDs of a batch's entries, or an error if it is not known to be stored when the time is over.
func (l *lane) store(batch *batch) (ids []entryID, err error) {
	b := l.outlet.b
	ctx, cancel := context.WithDeadlineCause(b.gone, batch.messages[0].deadline, errUnconfirmed(b.cfg.PublishTimeout))
	defer cancel()
	err = b.persist(ctx, func(ctx context.Context) (err error) {
		ids, err = l.send(ctx, batch)
		return err
	})
	return ids, err
}

// errStored ends a try that finds that an earlier one was successful.
var errStored = errors.New("the batch is stored already")

// remember notes that a batch is stored, with the ID of its last entry. It is part of the batch's transaction.
const remember = `
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last then redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. last[1], 'PX', ARGV[2]) end
return 1`

// memory is for how much longer than the publish timeout the server remembers a publisher's last batch.
const memory = 10 * time.Minute

// send stores a batch, unless that was done by an earlier try.
func (l *lane) send(ctx context.Context, batch *batch) ([]entryID, error) {
	b := l.outlet.b
	number := strconv.FormatUint(batch.number, 10)
	look := goredis.NewStringCmd(ctx, "get", l.sent)
	last := "" // the ID of the last entry, where the batch is stored
	store := transaction{guard: l.sent, look: look, agree: func() error {
		stored := false
		if last, stored = strings.CutPrefix(look.Val(), number+" "); stored {
			return errStored
		}
		return nil
	}}
	added := make([]*goredis.StringCmd, len(batch.messages))
	for i, m := range batch.messages {
		added[i] = goredis.NewStringCmd(ctx, m.command...)
		store.do = append(store.do, added[i])
	}
	kept := (b.cfg.PublishTimeout + memory).Milliseconds()
	store.do = append(store.do, goredis.NewCmd(ctx, "eval", remember, 2, l.stream, l.sent, number, kept))
	err := store.run(ctx, b)
	switch {
	case errors.Is(err, errStored):
		return l.find(ctx, last, len(batch.messages))
	case errors.Is(err, goredis.Nil):
		return nil, unknownTopic(l.outlet.name)
	case err != nil:
		return nil, err
	}
	ids := make([]entryID, len(added))
	for i := range added {
		ids[i], _ = parseID([]byte(added[i].Val()))
	}
	return ids, nil
}

// find returns the IDs of the n entries that end with the given one. Zero: the entry was removed already.
func (l *lane) find(ctx context.Context, last string, n int) ([]entryID, error) {
	entries, err := l.outlet.b.client.XRevRangeN(ctx, l.stream, last, "-", int64(n)).Result()
	if err != nil {
		return nil, err
	}
	ids := make([]entryID, n)
	for i := range entries {
		ids[n-1-i], _ = parseID([]byte(entries[i].ID))
	}
	return ids, nil
}
