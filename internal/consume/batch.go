package consume

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// Batch handles messages together. They gather from all lanes and partitions of the consumer until there are Size of them or
// Wait has passed since the first. Several messages of one key may be in one batch, in order, unless keys are held; their lane waits until all of
// them are answered.
type Batch struct {
	// Size is how many messages at most. Default 100.
	Size int
	// Wait is how long the first message waits for others. Default 100 ms.
	Wait time.Duration
	// Handle handles the batch. Each item can be answered by itself; those that are not follow the returned error: nil finishes them, and an
	// error is each one's failure. The context's values are those of the first message's partition. It is cancelled after the
	// reaction's timeout, and when any of the messages' partitions is lost.
	Handle func(ctx context.Context, items []*Item) error
}

var errNak = errors.New("the handler asked for the message again")

// Item is a message of a batch. The first answer counts; one that comes after the handler has returned is ignored. Its methods are
// safe for concurrent use.
type Item struct {
	Delivery *broker.Delivery
	// Attempt counts from 1, for this message and not for the batch.
	Attempt int

	batch   *batch
	message *message
	answer  answer
	err     error
}

type answer uint8

const (
	unanswered answer = iota
	acked
	refused
	postponed
)

// Ack finishes the message now, whatever becomes of the batch.
func (i *Item) Ack() { i.reply(acked, nil) }

// Nak makes the message fail when the handler returns: it is tried again after that time, or as [Config.Retry] says when it is 0,
// until its attempts are used up. Later messages of its key that were not in this batch wait for it.
func (i *Item) Nak(after time.Duration) {
	if after > 0 {
		i.reply(refused, RetryAfter(after, errNak))
		return
	}
	i.reply(refused, errNak)
}

// Term makes the message a dead letter when the handler returns.
func (i *Item) Term(err error) { i.reply(refused, DeadLetter(err)) }

// Fail makes the message fail with err, as if it had been handled alone and its handler had returned err.
func (i *Item) Fail(err error) { i.reply(refused, err) }

// Later gives the message back unhandled: it is not a failed attempt, and the message comes again when its turn in its lane has come.
func (i *Item) Later() { i.reply(postponed, nil) }

// InProgress begins the batch's timeout anew.
func (i *Item) InProgress() {
	b := i.batch
	b.consumer.mu.Lock()
	defer b.consumer.mu.Unlock()
	if b.limit != nil && !b.closed && !b.late {
		b.limit.Reset(b.reaction.Timeout)
	}
}

func (i *Item) reply(a answer, err error) {
	c := i.batch.consumer
	c.mu.Lock()
	defer c.mu.Unlock()
	if i.batch.closed || i.answer != unanswered {
		return
	}
	i.answer, i.err = a, err
	if a == acked {
		c.conclude(i.message, outcome{end: handled})
	}
}

// batch is messages of one reaction that gather, and then run together. The consumer's mu guards it.
type batch struct {
	consumer *Consumer
	reaction *Reaction
	messages []*message
	timer    *time.Timer // ends the gathering
	open     bool        // it gathers

	items  []*Item
	limit  *time.Timer // ends the handler's context
	late   bool        // it has
	closed bool        // the handler has returned
}

// gather takes m, which is the first of its lane, and those of its lane that may go with it into the reaction's batch. Where keys are held it goes
// alone: if it is given up on, the others are not to be handled.
func (c *Consumer) gather(m *message) {
	r := m.reaction
	b := c.batches[r]
	if b == nil {
		b = &batch{consumer: c, reaction: r, open: true}
		wait := r.Batch.Wait
		if wait <= 0 {
			wait = 100 * time.Millisecond
		}
		b.timer = time.AfterFunc(wait, func() { c.flush(b) })
		c.batches[r] = b
	}
	c.join(b, m)
	if m.lane == nil || m.part.holder != nil {
		return
	}
	for m = m.next; m != nil && b.open && m.reaction == r && !m.dead() && m.wait() <= 0; m = m.next {
		c.join(b, m)
	}
}

// join takes m into a batch that gathers.
func (c *Consumer) join(b *batch, m *message) {
	m.to(gathering)
	m.lane.handOut()
	if m.lane != nil {
		m.lane.batch = b
	}
	b.messages = append(b.messages, m)
	size := b.reaction.Batch.Size
	if size <= 0 {
		size = 100
	}
	if len(b.messages) >= size {
		c.closeBatch(b)
	}
}

// flush is called by the batch's timer.
func (c *Consumer) flush(b *batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.open {
		c.closeBatch(b)
	}
}

// closeBatch ends the gathering and lets the batch run.
func (c *Consumer) closeBatch(b *batch) {
	c.forgetBatch(b)
	c.ready.push(task{batch: b})
	c.startWorker()
}

// forgetBatch ends the gathering.
func (c *Consumer) forgetBatch(b *batch) {
	b.open = false
	b.timer.Stop()
	delete(c.batches, b.reaction)
}

// start makes b's messages running, without those that were dropped meanwhile, and reports whether any is left.
func (b *batch) start() bool {
	kept := b.messages[:0]
	for _, m := range b.messages {
		if m.state == gathering {
			m.to(running)
			kept = append(kept, m)
		}
	}
	clear(b.messages[len(kept):])
	b.messages = kept
	return len(kept) > 0
}

// runBatch handles b and concludes its messages.
func (c *Consumer) runBatch(b *batch) {
	c.concludeBatch(b, c.handleBatch(b), c.resolve)
}

// handleBatch runs b's handler within its timeout.
func (c *Consumer) handleBatch(b *batch) error {
	ctx, cancel := context.WithCancelCause(b.messages[0].part.ctx)
	defer cancel(nil)
	for _, p := range b.others() {
		stop := context.AfterFunc(p.ctx, func() { cancel(context.Cause(p.ctx)) })
		defer stop()
	}
	items := make([]Item, len(b.messages))
	b.items = make([]*Item, len(b.messages))
	for i, m := range b.messages {
		m.attempt++
		items[i] = Item{Delivery: &m.delivery, Attempt: int(m.attempt), batch: b, message: m}
		b.items[i] = &items[i]
	}
	timeout := b.reaction.Timeout
	if timeout > 0 {
		c.mu.Lock()
		b.limit = time.AfterFunc(timeout, func() { c.expire(ctx, b, cancel) })
		c.mu.Unlock()
		defer b.limit.Stop()
	}
	err := callBatch(ctx, b)
	if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return timedOut(timeout, err)
	}
	return err
}

func callBatch(ctx context.Context, b *batch) (err error) {
	defer rescue(&err)
	items := make([]*Item, len(b.items))
	copy(items, b.items) // The handler may reorder its own.
	return b.reaction.Batch.Handle(ctx, items)
}

// others are the partitions of b's messages but the first one's.
func (b *batch) others() []*partition {
	first := b.messages[0].part
	var others []*partition
	for _, m := range b.messages {
		if m.part != first && !slices.Contains(others, m.part) {
			others = append(others, m.part)
		}
	}
	return others
}

// expire is called by the timer of the batch's timeout, and once more when the handler has ignored that.
func (c *Consumer) expire(ctx context.Context, b *batch, cancel context.CancelCauseFunc) {
	cancel(context.DeadlineExceeded)
	c.mu.Lock()
	overdue := b.late && !b.closed
	if !b.late {
		b.late = true
		b.limit.Reset(grace)
	}
	c.mu.Unlock()
	if overdue {
		c.warnOverdue(ctx, b.reaction)
	}
}

// concludeBatch ends b's turn: items that were not answered follow err. What follows from a failure is resolve's matter.
func (c *Consumer) concludeBatch(b *batch, err error, resolve func(*message, error) outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.closed = true
	sum := outcome{end: again}
	for _, i := range b.items {
		var o outcome
		switch {
		case i.answer == acked:
			sum.end = handled
			continue
		case i.answer == unanswered && err == nil:
			o = outcome{end: handled}
		case i.answer == postponed, i.answer == unanswered && b.interrupted():
			i.message.attempt--
			o = outcome{end: again}
		default:
			failure := cmp.Or(i.err, err)
			c.mu.Unlock()
			o = resolve(i.message, failure)
			c.mu.Lock()
		}
		c.conclude(i.message, o)
		sum.down = sum.down || o.down
		if o.end == handled {
			sum.end = handled
		}
	}
	c.observe(task{batch: b}, sum)
}

// interrupted says whether any message's partition was lost or stopped, which cancels the whole batch: its error says nothing then.
func (b *batch) interrupted() bool {
	return slices.ContainsFunc(b.messages, func(m *message) bool { return m.part.ctx.Err() != nil })
}
