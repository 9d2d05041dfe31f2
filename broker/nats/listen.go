package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
)

// Bounds of what waits for a slow listener.
const (
	maxHeard      = 64 << 10
	maxHeardBytes = 16 << 20
)

// Live implements [broker.Broker]. While the connection is lost, nats.go keeps a few megabytes for the time after it.
func (b *Broker) Live(ctx context.Context, records []broker.Record) error {
	if b.closing.Err() != nil {
		return fmt.Errorf("nats: send live: %w", broker.ErrClosed)
	}
	for i := range records {
		r := &records[i]
		if err := b.sendLive(ctx, r); err != nil {
			return fmt.Errorf("nats: send live to %s: %w", r.Topic, err)
		}
	}
	return nil
}

func (b *Broker) sendLive(ctx context.Context, r *broker.Record) error {
	if err := checks.Name("topic", r.Topic); err != nil {
		return err
	}
	msg, size := encode(r)
	if err := checkSize(r, size, b.link.maxPayload.Load()); err != nil {
		return err
	}
	msg.Subject = liveSubject(r.Topic)
	if _, asks := r.Header(broker.ReplyTo); asks {
		return b.ask(ctx, &msg)
	}
	if err := b.nc.PublishMsg(&msg); err != nil {
		return sendError(err)
	}
	return nil
}

// ask sends a record and waits until a listener says that it has it. The server knows when nobody listens.
func (b *Broker) ask(ctx context.Context, msg *natsgo.Msg) error {
	_, err := b.nc.RequestMsgWithContext(ctx, msg)
	if errors.Is(err, natsgo.ErrNoResponders) {
		return broker.ErrNoListener
	}
	return err
}

// Listen implements [broker.Broker]. A listener hears durable records when they reach the server, which may be a moment before they are stored.
func (b *Broker) Listen(ctx context.Context, l broker.Listener, each func(broker.Record)) error {
	end, err := b.begin("listen")
	if err != nil {
		return err
	}
	defer end()
	if err := checkListener(l); err != nil {
		return fmt.Errorf("nats: listen: %w", err)
	}
	ear := &ear{arrived: make(chan struct{}, 1)}
	for _, topic := range l.Topics {
		for _, subject := range []string{topicSubjects(topic), liveSubject(topic)} {
			sub, err := b.hear(subject, l.Group, topic, ear)
			if err != nil {
				return fmt.Errorf("nats: listen to %s: %w", topic, err)
			}
			defer func() { _ = sub.Unsubscribe() }()
		}
	}
	if err := b.nc.FlushTimeout(apiTimeout); err != nil { // the server has the subscriptions when it answers
		return fmt.Errorf("nats: listen to %s: %w", strings.Join(l.Topics, ", "), err)
	}
	if l.Ready != nil {
		l.Ready()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.gone.Done():
			return fmt.Errorf("nats: listen: %w", broker.ErrClosed)
		case <-ear.arrived:
		}
		for m, ok := ear.take(); ok && ctx.Err() == nil; m, ok = ear.take() {
			r := decode(m.topic, m.msg)
			if _, asks := r.Header(broker.ReplyTo); asks {
				_ = m.msg.Respond(nil) // who asks waits no longer than its context says
			}
			each(r)
		}
	}
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

// hear subscribes. The subscription only fills the ear, so that the server never takes this client for a slow one.
func (b *Broker) hear(subject, group, topic string, e *ear) (*natsgo.Subscription, error) {
	handle := func(msg *natsgo.Msg) { e.add(heard{topic: topic, msg: msg}) }
	if group != "" {
		return b.nc.QueueSubscribe(subject, token(group), handle)
	}
	return b.nc.Subscribe(subject, handle)
}

// ear keeps what was heard until the listener has time. When it is full, the oldest is forgotten.
type ear struct {
	arrived chan struct{}

	mu    sync.Mutex
	queue []heard
	bytes int
}

type heard struct {
	topic string
	msg   *natsgo.Msg
}

func (e *ear) add(m heard) {
	e.mu.Lock()
	e.queue = append(e.queue, m)
	e.bytes += m.msg.Size()
	for len(e.queue) > maxHeard || e.bytes > maxHeardBytes && len(e.queue) > 1 {
		e.forget()
	}
	e.mu.Unlock()
	select {
	case e.arrived <- struct{}{}:
	default:
	}
}

func (e *ear) take() (heard, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 {
		return heard{}, false
	}
	m := e.queue[0]
	e.forget()
	return m, true
}

// forget removes the oldest.
func (e *ear) forget() {
	e.bytes -= e.queue[0].msg.Size()
	e.queue[0] = heard{}
	e.queue = e.queue[1:]
}
