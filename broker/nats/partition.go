package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sort"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker"
)

// errGivenBack is why the context of a partition ends when its call has returned.
var errGivenBack = errors.New("the partition was given back")

// catchUpTime is for how long a partition that is given back waits for a server that does not answer.
const catchUpTime = 5 * time.Second

// partition is one partition while this process owns it. Whatever disturbs the flow of messages (a lost connection, a gap, a
// new leader) is answered in one way: a new consumer, from the position that was settled, and what was received before is skipped.
type partition struct {
	b      *Broker
	src    source
	prefix string // of the names of its consumers
	stop   <-chan struct{}
	ctx    context.Context // ends when the partition is lost or was given back
	lose   context.CancelCauseFunc
	// arrived wakes Fetch, trouble wakes the keeper.
	arrived, trouble chan struct{}

	// These belong to whoever opens: first hold, then keep.
	id    consumerID
	alone bool // whatever consumer there is, its owner is gone

	mu     sync.Mutex
	feed   *feed // nil while there is no consumer
	queue  []message
	queued int // bytes in queue
	// received is the last sequence that went into the queue, fetched the last that left it.
	received, fetched uint64
	// next is where the next owner begins; zero: nothing was settled yet.
	next uint64
	// unsettled are the sequences of the messages that the current consumer has delivered and not seen acknowledged, in order;
	// the first of them was its message number base.
	unsettled []uint64
	base      uint64
	begin     uint64 // where the current consumer begins; zero: the server chose
	acked     time.Time
	created   time.Time // when the stream was made that all these numbers are of
	ackTimer  *time.Timer
	atEnd     bool
	closed    bool
}

// message is a message in the queue with its place.
type message struct {
	msg   *natsgo.Msg
	place place
}

func newPartition(b *Broker, src source, epoch uint64, stop <-chan struct{}) *partition {
	return &partition{
		b: b, src: src, stop: stop, id: consumerID{epoch: epoch}, prefix: consumerPrefix(src.group, src.partition),
		arrived: make(chan struct{}, 1), trouble: make(chan struct{}, 1), atEnd: src.toEnd && src.end == 0,
	}
}

func (p *partition) attrs(more ...slog.Attr) []slog.Attr {
	return append(more, slog.String("topic", p.src.topic.name), slog.Int("partition", p.src.partition), slog.String("group", p.src.group),
		slog.Uint64("epoch", p.id.epoch))
}

// Fetch implements [broker.Partition].
func (p *partition) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	for {
		switch {
		case p.ctx.Err() != nil, p.b.gone.Err() != nil:
			return nil, p.lost()
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case p.stopping():
			return nil, io.EOF
		}
		messages, end := p.take(limit, maxBytes)
		if len(messages) > 0 {
			return p.deliveries(messages), nil
		}
		if end {
			return nil, io.EOF
		}
		select {
		case <-p.arrived:
		case <-p.stop:
		case <-ctx.Done():
		case <-p.ctx.Done():
		}
	}
}

func (p *partition) stopping() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

func (p *partition) lost() error {
	cause := context.Cause(p.ctx)
	if cause == nil {
		cause = broker.ErrClosed // is about to be the cause
	}
	return fmt.Errorf("nats: partition %d of %s: %w", p.src.partition, p.src.topic.name, cause)
}

// take removes messages from the queue, and asks the server for more when it runs low.
func (p *partition) take(limit, maxBytes int) (messages []message, end bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, bytes := 0, 0
	for n < len(p.queue) && n < limit && (n == 0 || bytes+p.queue[n].size() <= maxBytes) {
		bytes += p.queue[n].size()
		n++
	}
	if n == 0 {
		return nil, p.atEnd && len(p.queue) == 0
	}
	messages = p.queue[:n:n]
	p.queue = p.queue[n:]
	p.queued -= bytes
	p.fetched = messages[n-1].place.stream
	p.pull()
	return messages, false
}

func (m *message) size() int { return m.msg.Size() }

func (p *partition) deliveries(messages []message) []broker.Delivery {
	deliveries := make([]broker.Delivery, len(messages))
	for i, m := range messages {
		deliveries[i] = broker.Delivery{
			Record: decode(p.src.topic.name, m.msg), Partition: p.src.partition, Sequence: m.place.stream, Time: time.Unix(0, m.place.time),
		}
	}
	return deliveries
}

// Settle implements [broker.Partition]. The server is told now and then; what was settled last is confirmed when the partition is given back.
func (p *partition) Settle(_ context.Context, s broker.Settlement) error {
	if p.ctx.Err() != nil {
		return p.lost()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("nats: partition %d of %s: %w", p.src.partition, p.src.topic.name, errGivenBack)
	}
	next := min(s.Next, p.fetched+1)
	if next <= p.next || p.src.group == "" {
		return nil
	}
	p.next = next
	p.acknowledgeSoon()
	return nil
}

// acknowledgeSoon tells the server the position, unless that was done a moment ago: then a little later.
func (p *partition) acknowledgeSoon() {
	switch since := time.Since(p.acked); {
	case p.ackTimer != nil:
	case since >= ackEvery:
		p.acknowledge()
	default:
		p.ackTimer = time.AfterFunc(ackEvery-since, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ackTimer = nil
			if !p.closed && p.ctx.Err() == nil {
				p.acknowledge()
			}
		})
	}
}

// acknowledge tells the server the position. An acknowledgement covers all messages of the consumer up to its own.
func (p *partition) acknowledge() {
	if subject := p.ackSubject(); subject != "" {
		p.acked = time.Now()
		_ = p.b.nc.Publish(subject, nil) // if the connection is gone, the next consumer begins at the right place
	}
}

// ackSubject is what acknowledges everything before next and is not acknowledged yet. Empty: nothing is.
func (p *partition) ackSubject() string {
	if p.feed == nil {
		return ""
	}
	n := sort.Search(len(p.unsettled), func(i int) bool { return p.unsettled[i] >= p.next })
	if n == 0 {
		return ""
	}
	p.base += uint64(n)
	last := p.unsettled[n-1]
	p.unsettled = p.unsettled[n:]
	p.feed.lastAck = p.feed.ackSubject(last, p.base-1)
	return p.feed.lastAck
}

// giveBack ends the partition's work in good order: the position is confirmed by the server before the next owner reads it.
func (p *partition) giveBack() {
	p.catchUp()
	p.mu.Lock()
	p.closed = true
	if p.ackTimer != nil {
		p.ackTimer.Stop()
	}
	subject := p.ackSubject()
	if subject == "" && p.feed != nil {
		subject = p.feed.lastAck
	}
	f, behind := p.feed, !p.caughtUp()
	p.mu.Unlock()
	if p.ctx.Err() == nil && (behind || subject != "") {
		if err := p.confirm(subject); err != nil && p.ctx.Err() == nil {
			p.b.cfg.Log.LogAttrs(p.ctx, slog.LevelInfo, "the last position of a partition was not confirmed, some records may come again",
				p.attrs(slog.Any("error", err))...)
		}
	}
	if f != nil {
		f.close()
	}
}

// catchUp waits, for a while, until the partition's consumer is as far as the one before it was when it was disturbed.
func (p *partition) catchUp() {
	patience := time.NewTimer(catchUpTime)
	defer patience.Stop()
	for {
		p.mu.Lock()
		done := p.caughtUp()
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-p.arrived:
		case <-p.ctx.Done():
			return
		case <-patience.C:
			return
		}
	}
}

// caughtUp reports whether everything that is settled can be acknowledged: the consumer has delivered it, or began behind it.
func (p *partition) caughtUp() bool {
	return p.src.group == "" || p.next == 0 || p.feed != nil && p.feed.stream >= p.received
}

// confirm acknowledges and waits for the answer. To acknowledge the same again changes nothing and is answered too.
func (p *partition) confirm(subject string) (err error) {
	if subject == "" {
		return errors.New("the server could not be asked in time")
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(p.ctx, time.Second)
		_, err = p.b.nc.RequestWithContext(ctx, subject, nil)
		cancel()
		if err == nil || errors.Is(err, natsgo.ErrNoResponders) {
			return err
		}
	}
	return err
}

// keep watches over the flow of messages until the partition is lost or given back.
func (p *partition) keep() {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	now, turn := p.b.link.state()
	for {
		broken := false
		select {
		case <-p.ctx.Done():
			p.detach()
			return
		case <-p.trouble:
			broken = true
		case <-turn:
			before := now
			now, turn = p.b.link.state()
			broken = now.reconnects != before.reconnects
		case <-tick.C:
			broken = p.silent()
		}
		if !broken {
			continue
		}
		p.detach()
		if err := p.open(nil); err != nil {
			return // it is lost, or was given back
		}
	}
}
