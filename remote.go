package tidings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings/broker"
)

// Headers of a request that travels, beside broker.ReplyTo and the attributes of a CloudEvent, and of its answer.
const (
	callTimeoutHeader = "tidings-call-timeout" // how long the caller waits from now on, as a duration
	callKeyHeader     = "tidings-call-key"     // the idempotency key
	callHeader        = "tidings-call"         // of an answer: the id of the request
	callCodeHeader    = "tidings-call-code"    // of an answer that is an error, whose detail is the value
)

// providers is the queue group of all who answer a request, so that one of them does.
const providers = "providers"

// maxAnswering is how many requests of other processes are in hand at once. Who asks then is told so.
const maxAnswering = 1024

// mailbox is where a process gets the answers of others. Its topic is its own.
type mailbox struct {
	topic string
	open  chan struct{} // closed when answers are heard

	mu      sync.Mutex
	waiting map[string]chan<- broker.Record // by id of the request
}

func newMailbox(service string) *mailbox {
	return &mailbox{topic: "replies." + service + "." + uuid.NewString(), open: make(chan struct{}), waiting: map[string]chan<- broker.Record{}}
}

func (m *mailbox) expect(id string) <-chan broker.Record {
	answer := make(chan broker.Record, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting[id] = answer
	return answer
}

func (m *mailbox) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.waiting, id)
}

// take hands an answer to who waits for it. Nobody does when it comes too late.
func (m *mailbox) take(r broker.Record) {
	id, _ := r.Header(callHeader)
	m.mu.Lock()
	defer m.mu.Unlock()
	if answer := m.waiting[id]; answer != nil {
		delete(m.waiting, id)
		answer <- r
	}
}

// ask sends a question to another process and waits for the answer.
func (a *App) ask(ctx context.Context, c *requestCore, m Message, key string) ([]byte, error) {
	if a.cfg.Broker == nil {
		return nil, errNoBroker
	}
	select {
	case <-a.mailbox.open:
	case <-ctx.Done():
		return nil, fmt.Errorf("the app is not running: %w", ctx.Err())
	}
	topic, err := a.requestTopic(c)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	m.Headers = []Header{{Name: broker.ReplyTo, Value: a.mailbox.topic}, {Name: callTimeoutHeader, Value: time.Until(deadline).String()}}
	if key != "" {
		m.Headers = append(m.Headers, Header{Name: callKeyHeader, Value: key})
	}
	r, err := encodeMessage(&m, topic)
	if err != nil {
		return nil, err
	}
	if size := r.Size(); size > a.cfg.MaxMessageBytes {
		return nil, fmt.Errorf("the question takes %d bytes, and Config.MaxMessageBytes is %d: %w", size, a.cfg.MaxMessageBytes, CodeInvalid)
	}
	answer := a.mailbox.expect(m.ID)
	defer a.mailbox.forget(m.ID)
	switch err = a.cfg.Broker.Live(ctx, []broker.Record{r}); {
	case errors.Is(err, broker.ErrNoListener), errors.Is(err, broker.ErrUnknownTopic):
		return nil, fmt.Errorf("no process serves it: %w", CodeUnserved)
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("no provider has taken it: %w", ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("%w: %w", err, CodeUnavailable)
	}
	select {
	case r = <-answer:
	case <-ctx.Done():
		return nil, fmt.Errorf("a provider has taken it and not answered: %w", ctx.Err())
	}
	if code, failed := r.Header(callCodeHeader); failed {
		return nil, &Error{Request: c.def.identity(), Code: Code(code), Detail: string(r.Value)}
	}
	return r.Value, nil
}

// requestTopic is where a request travels. To work it out takes longer than all else that is done with one here.
func (a *App) requestTopic(c *requestCore) (string, error) {
	if topic, ok := a.asked.Load(c); ok {
		return topic.(string), nil //nolint:errcheck // only strings are stored
	}
	topic, err := a.readTopic(c.def)
	if err == nil {
		a.asked.Store(c, topic)
	}
	return topic, err
}

// collect gets the answers until ctx ends.
func (a *App) collect(ctx context.Context) error {
	l := broker.Listener{Topics: []string{a.mailbox.topic}, Ready: func() { close(a.mailbox.open) }}
	if err := a.cfg.Broker.Listen(ctx, l, a.mailbox.take); err != nil {
		return fmt.Errorf("tidings: listen to answers: %w", err)
	}
	return nil
}

// liveTopics are those on which requests and answers of this app travel.
func (a *App) liveTopics() []broker.Topic {
	topics := []broker.Topic{{Name: a.mailbox.topic, Live: true}}
	for _, name := range slices.Sorted(maps.Keys(a.offered())) {
		topics = append(topics, broker.Topic{Name: name, Live: true})
	}
	return topics
}

// offered are the endpoints that answer other processes, by topic. Topics that can't be named are left out; Check reports them.
func (a *App) offered() map[string]*endpoint {
	a.mu.Lock()
	defer a.mu.Unlock()
	byTopic := map[string]*endpoint{}
	for _, e := range a.endpoints {
		if topic, err := a.readTopic(e.request.def); err == nil && !e.request.def.IsInternal() {
			byTopic[topic] = e
		}
	}
	return byTopic
}

// desk answers the requests of other processes.
type desk struct {
	app     *App
	byTopic map[string]*endpoint
	room    chan struct{}
	working sync.WaitGroup
}

// answerOthers answers the requests of other processes until ctx ends, and then finishes those in hand, until hard ends.
func (a *App) answerOthers(ctx, hard context.Context, ready func()) error {
	d := &desk{app: a, byTopic: a.offered(), room: make(chan struct{}, maxAnswering)}
	defer d.working.Wait()
	l := broker.Listener{Topics: slices.Sorted(maps.Keys(d.byTopic)), Group: providers, Ready: ready}
	if err := a.cfg.Broker.Listen(ctx, l, func(r broker.Record) { d.take(hard, r) }); err != nil {
		return fmt.Errorf("tidings: listen to requests: %w", err)
	}
	return nil
}

// take begins to answer a request. The next one must not wait for it.
func (d *desk) take(ctx context.Context, r broker.Record) {
	m, err := decodeMessage(&broker.Delivery{Record: r})
	to, asked := r.Header(broker.ReplyTo)
	if err != nil || !asked {
		d.app.log.LogAttrs(ctx, slog.LevelWarn, "what came is no request", slog.String("topic", r.Topic), slog.Any("error", err))
		return
	}
	select {
	case d.room <- struct{}{}:
		d.working.Go(func() {
			defer func() { <-d.room }()
			data, failure := d.answer(ctx, &r, &m)
			d.reply(ctx, to, m.ID, data, failure)
		})
	default:
		d.reply(ctx, to, m.ID, nil, newError(ctx, m.Type, fmt.Errorf("%d requests are in hand: %w", maxAnswering, CodeUnavailable)))
	}
}

func (d *desk) answer(ctx context.Context, r *broker.Record, m *Message) ([]byte, *Error) {
	ctx, cancel := context.WithTimeout(ctx, patience(r))
	defer cancel()
	data, err := d.ask(ctx, r, m)
	if err != nil {
		return nil, newError(ctx, m.Type, passOn(err))
	}
	return data, nil
}

// patience is how long the caller waits.
func patience(r *broker.Record) time.Duration {
	text, _ := r.Header(callTimeoutHeader)
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return callTimeout
}

// ask asks the endpoint that the request is for.
func (d *desk) ask(ctx context.Context, r *broker.Record, m *Message) ([]byte, error) {
	key, _ := r.Header(callKeyHeader)
	if err := checkKey(key); err != nil {
		return nil, err
	}
	e := d.byTopic[r.Topic]
	if e == nil || m.Type != e.request.def.identity() {
		return nil, fmt.Errorf("the topic %s is not for it: %w", r.Topic, CodeInvalid)
	}
	data, err := e.untyped(e.context(ctx, *m, key), e, m.Data, key)
	if err != nil {
		return nil, err
	}
	if limit := d.app.cfg.MaxMessageBytes; len(data) > limit {
		return nil, fmt.Errorf("the request was handled, and the answer takes %d bytes; Config.MaxMessageBytes is %d", len(data), limit)
	}
	return data, nil
}

// reply sends an answer, or the error in its place.
func (d *desk) reply(ctx context.Context, to, id string, data []byte, failure *Error) {
	r := broker.Record{Topic: to, Headers: []Header{{Name: callHeader, Value: id}}, Value: data}
	if failure != nil {
		r.Headers = append(r.Headers, Header{Name: callCodeHeader, Value: string(failure.Code)})
		r.Value = []byte(failure.Detail)
	}
	if err := d.app.cfg.Broker.Live(context.WithoutCancel(ctx), []broker.Record{r}); err != nil {
		d.app.log.LogAttrs(ctx, slog.LevelWarn, "an answer was not sent", slog.String("to", to), slog.Any("error", err))
	}
}
