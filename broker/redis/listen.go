package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
)

const (
	// Bounds of what waits for a slow listener.
	maxHeard      = 64 << 10
	maxHeardBytes = 16 << 20
	// atATime is how many records are taken from there, or from a stream, at once.
	atATime = 256
	// claimed is how long the server remembers which listener of a group took a record; who is slower than staleAfter gets no more of it.
	claimed    = 10 * time.Second
	staleAfter = 5 * time.Second
	// hesitation is how long a listener of a group lets others be first, at most: else the nearest to the server would get everything.
	hesitation = 500 * time.Microsecond
	// newTopics is how often a listener looks whether a topic exists by now.
	newTopics = time.Second
)

// Listen implements [broker.Broker]. A listener is subscribed to the topics' channels and follows their streams; a topic need not
// exist yet. Listeners of a group all hear a record, and the first to claim it has it.
func (b *Broker) Listen(ctx context.Context, l broker.Listener, each func(broker.Record)) error {
	end, err := b.begin()
	if err == nil {
		defer end()
		err = b.listen(ctx, l, each)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("redis: listen: %w", err)
	}
	return nil
}

func (b *Broker) listen(ctx context.Context, l broker.Listener, each func(broker.Record)) error {
	if err := checkListener(l); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer context.AfterFunc(b.gone, func() { cancel(broker.ErrClosed) })()
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel(nil)
	e := &ear{b: b, group: l.Group, each: each, arrived: make(chan struct{}, 1)}
	for _, topic := range l.Topics {
		if err := b.subscribe(ctx, topic, e, &following); err != nil {
			return err
		}
		at, err := b.ends(ctx, topic)
		if err != nil && !errors.Is(err, broker.ErrUnknownTopic) {
			return err
		}
		following.Go(func() { b.followTopic(ctx, topic, at, e) })
	}
	if l.Ready != nil {
		l.Ready()
	}
	e.listen(ctx)
	return context.Cause(ctx)
}

func checkListener(l broker.Listener) error {
	if len(l.Topics) == 0 {
		return fmt.Errorf("the listener has no topics: %w", broker.ErrInvalid)
	}
	var errs []error
	for _, topic := range l.Topics {
		errs = append(errs, checks.Name("topic", topic))
	}
	if l.Group != "" {
		errs = append(errs, checks.Name("group", l.Group))
	}
	return errors.Join(errs...)
}

// subscribe hears a topic's channel until ctx ends. When it returns the server has the subscription. Each has a connection of its
// own: in a cluster, to the server that has the channel's slot.
func (b *Broker) subscribe(ctx context.Context, topic string, e *ear, following *sync.WaitGroup) error {
	sub := b.client.Subscribe(ctx, liveChannel(topic))
	ctxTry, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if _, err := sub.Receive(ctxTry); err != nil {
		_ = sub.Close()
		return fmt.Errorf("subscribe to %s: %w", liveChannel(topic), explain(err))
	}
	messages := sub.Channel(goredis.WithChannelSize(atATime))
	following.Go(func() {
		defer func() { _ = sub.Close() }()
		for {
			select {
			case <-ctx.Done():
				return
			case m, ok := <-messages:
				if !ok {
					return
				}
				mark, r, err := decodeLive(topic, []byte(m.Payload))
				if err != nil {
					b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "something on a live channel can't be read", slog.String("channel", m.Channel), slog.Any("error", err))
					continue
				}
				e.add(heard{mark: mark, record: r})
			}
		}
	})
	return nil
}

// ends are the streams of a topic with what was added to them last.
func (b *Broker) ends(ctx context.Context, topic string) (map[string]entryID, error) {
	t, err := b.lookUp(ctx, topic)
	if err != nil {
		return nil, err
	}
	ids, err := b.lastIDs(ctx, t)
	if err != nil {
		return nil, explain(err)
	}
	at := make(map[string]entryID, len(ids))
	for p, id := range ids {
		at[t.streams[p]] = id
	}
	return at, nil
}

// followTopic hears what is added to a topic's streams. If the topic does not exist yet it is waited for, and heard from its beginning.
func (b *Broker) followTopic(ctx context.Context, topic string, at map[string]entryID, e *ear) {
	tick := time.NewTicker(newTopics)
	defer tick.Stop()
	for at == nil {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if t, err := b.lookUp(ctx, topic); err == nil {
			at = make(map[string]entryID, len(t.streams))
			for _, stream := range t.streams {
				at[stream] = entryID{}
			}
		}
	}
	var streams sync.WaitGroup
	for stream, last := range at {
		streams.Go(func() { b.followStream(ctx, topic, stream, last, e) })
	}
	streams.Wait()
}

func (b *Broker) followStream(ctx context.Context, topic, stream string, last entryID, e *ear) {
	var a answer
	pause := newPause()
	for ctx.Err() == nil {
		ctxTry, cancel := context.WithTimeout(ctx, readTry)
		n, err := 0, b.tail(ctxTry, stream, last, atATime, &a)
		cancel()
		if err == nil {
			r := reply{rest: a.bytes}
			if n, err = r.stream(); err == nil {
				err = r.entries(n, func(entry entry) {
					last = entry.id
					e.add(heard{mark: stream + entry.id.String(), record: record(topic, entry.fields)})
				})
			}
		}
		if err == nil {
			pause = newPause()
			continue
		}
		b.lookAgain(ctx)
		pause.wait(ctx, nil)
	}
}

// ear keeps what was heard until the listener has time. When it is full, the oldest is forgotten.
type ear struct {
	b       *Broker
	group   string
	each    func(broker.Record)
	arrived chan struct{}

	mu    sync.Mutex
	queue []heard
	bytes int
}

type heard struct {
	mark   string // the same for all who hear it, and for nothing else
	record broker.Record
	at     time.Time
}

func (e *ear) add(h heard) {
	h.at = time.Now()
	e.mu.Lock()
	e.queue = append(e.queue, h)
	e.bytes += h.record.Size()
	for len(e.queue) > maxHeard || e.bytes > maxHeardBytes && len(e.queue) > 1 {
		e.forget()
	}
	e.mu.Unlock()
	wake(e.arrived)
}

// take removes the oldest records.
func (e *ear) take() []heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := append([]heard(nil), e.queue[:min(len(e.queue), atATime)]...)
	for range taken {
		e.forget()
	}
	return taken
}

// forget removes the oldest.
func (e *ear) forget() {
	e.bytes -= e.queue[0].record.Size()
	e.queue[0] = heard{}
	e.queue = e.queue[1:]
}

// listen passes on what arrives, until ctx ends.
func (e *ear) listen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.arrived:
		}
		if e.group != "" {
			pause := pause{next: hesitation}
			pause.wait(ctx, nil)
		}
		for ctx.Err() == nil {
			batch := e.mine(ctx)
			if len(batch) == 0 {
				break
			}
			for _, h := range batch {
				// Who asks would wait in vain for the end of a listener that has the request.
				if _, asks := h.record.Header(broker.ReplyTo); h.mark != "" && (asks || ctx.Err() == nil) {
					e.each(h.record)
				}
			}
		}
	}
}

// mine takes the next records. Those that another listener of the group has, or may have had, have no mark any more.
func (e *ear) mine(ctx context.Context) []heard {
	batch := e.take()
	if e.group == "" || len(batch) == 0 {
		return batch
	}
	var marks []string
	var fresh []*heard
	for i := range batch {
		if h := &batch[i]; time.Since(h.at) < staleAfter {
			marks, fresh = append(marks, h.mark), append(fresh, h)
		} else {
			h.mark = ""
		}
	}
	mine, err := e.b.claim(ctx, e.group, marks)
	if err != nil && ctx.Err() == nil {
		e.b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "records that were heard could not be claimed and are lost", slog.Int("records", len(marks)), slog.Any("error", err))
	}
	for i, h := range fresh {
		if err != nil || !mine[i] {
			h.mark = ""
		}
	}
	return batch
}
