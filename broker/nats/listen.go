package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/checks"
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
	live := *r
	live.ID = "" // nobody compares it with others
	msg, size := encode(&live)
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
	ear := newEar(func(msg *natsgo.Msg, topic string) {
		r := decode(topic, msg)
		if _, asks := r.Header(broker.ReplyTo); asks {
			_ = msg.Respond(nil) // who asks waits no longer than its context says
		}
		each(r)
	})
	var subs []*natsgo.Subscription
	for _, topic := range l.Topics {
		for _, subject := range []string{topicSubjects(topic), liveSubject(topic)} {
			sub, err := b.hear(subject, l.Group, topic, ear)
			if err != nil {
				return fmt.Errorf("nats: listen to %s: %w", topic, err)
			}
			defer func() { _ = sub.Unsubscribe() }()
			subs = append(subs, sub)
		}
	}
	if err := b.nc.FlushTimeout(apiTimeout); err != nil { // the server has the subscriptions when it answers
		return fmt.Errorf("nats: listen to %s: %w", strings.Join(l.Topics, ", "), err)
	}
	if l.Ready != nil {
		l.Ready()
	}
	ear.listen(ctx, b.gone)
	if ctx.Err() == nil {
		return fmt.Errorf("nats: listen: %w", broker.ErrClosed)
	}
	b.drain(subs, ear)
	return nil
}

// drain ends subscriptions, and has those requests handled that the server had already sent here: nobody else gets them, and who asks would wait in vain.
func (b *Broker) drain(subs []*natsgo.Subscription, e *ear) {
	if !b.nc.IsConnected() {
		return
	}
	for _, sub := range subs {
		_ = sub.Drain()
	}
	if b.nc.FlushTimeout(shortTry) != nil { // what was on its way is here when the server answers
		return
	}
	for msg := e.overdue(); msg != nil; msg = e.overdue() {
		r := decode(msg.Subject, msg)
		if _, asks := r.Header(broker.ReplyTo); asks {
			e.hear(msg)
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

// hear subscribes. The connection itself fills the ear: one more goroutine between them would cost as much as all else that is done with a message.
func (b *Broker) hear(subject, group, topic string, e *ear) (*natsgo.Subscription, error) {
	e.topics[subject] = topic
	if group != "" {
		return b.nc.ChanQueueSubscribe(subject, token(group), e.arrived)
	}
	return b.nc.ChanSubscribe(subject, e.arrived)
}
