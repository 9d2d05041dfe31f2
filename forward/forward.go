// Package forward moves public events from the one topic that all are published to onto a topic for each event, so that who wants one
// event does not have to read all of them. It is the moving part of topology Shared:
//
//	forward.Add(app.Module, forward.Config{}) // events → events.BookingMade, events.TicketPrinted, …
//
// Messages are forwarded unchanged: same id, source, type, key and payload. Those of one key arrive in their order. Forwarding is
// at-least-once: after a crash some come twice, with the same id, which OnTx and brokers that deduplicate recognise. Between different events
// there is no order once they are on different topics; who needs it reads the shared topic, as a subscription to several events does by itself.
//
// A message whose type says nothing about the event's name becomes a dead letter of the forwarder, and so does an internal event of this service, which has
// no business on the shared topic; all others go on.
package forward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
)

// Config has a useful zero value.
type Config struct {
	// Topology names the topics. Give it the app's. The zero value is that of the app's zero value: "events" and "events.{Name}".
	Topology tidings.Shared
	// Name is the subscription's name. Default "forwarder".
	Name string
	// Batch says how many messages are forwarded at once. Default: 500 messages, or what came in 5 ms.
	Batch tidings.Batch
}

// Add gives the module a subscription that forwards every message of the shared topic. One forwarder is enough for all services that share
// the topic; several do the same work again.
func Add(m *tidings.Module, cfg Config) {
	cfg.Batch.Size = cmp.Or(cfg.Batch.Size, 500)
	cfg.Batch.Wait = cmp.Or(cfg.Batch.Wait, 5*time.Millisecond)
	f := &forwarder{module: m, topology: cfg.Topology, events: map[string]tidings.Definition{}}
	m.Discover(f.learn)
	m.Subscribe(
		// Nothing is wrong with a message that can't be forwarded now; what can never be is answered with Term.
		tidings.Subscription{Name: cmp.Or(cfg.Name, "forwarder"), Topics: []string{cmp.Or(cfg.Topology.Topic, "events")}, OnFailure: tidings.Block},
		tidings.OnBatch(tidings.Every(), cfg.Batch, f.forward),
	)
}

// forwarder forwards batches.
type forwarder struct {
	module   *tidings.Module
	topology tidings.Shared
	// events has the definition of each type that the app knows. It does not change once messages come.
	events map[string]tidings.Definition
}

// learn takes definitions from the catalog, since a definition may have a wire type of its own.
func (f *forwarder) learn(c *tidings.Catalog) error {
	for _, e := range c.All() {
		f.events[e.Type()] = e.Definition
	}
	return nil
}

// forward puts each message of a batch onto its topic. The topics are written to at the same time; on each the messages are in order.
func (f *forwarder) forward(ctx context.Context, batch []*tidings.Delivery[tidings.Raw]) error {
	byTopic := map[string][]*tidings.Delivery[tidings.Raw]{}
	for _, d := range batch {
		name, err := f.name(d.Message.Type)
		if err != nil {
			d.Term(err)
			continue
		}
		topic := f.topology.EventTopic(name)
		byTopic[topic] = append(byTopic[topic], d)
	}
	var sending sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for topic, deliveries := range byTopic {
		sending.Go(func() {
			if err := f.send(ctx, topic, deliveries); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	sending.Wait()
	return errors.Join(errs...)
}

// send forwards messages to one topic, and acknowledges them by itself: what fails on another topic is no reason to repeat them.
func (f *forwarder) send(ctx context.Context, topic string, deliveries []*tidings.Delivery[tidings.Raw]) error {
	messages := make([]tidings.Message, len(deliveries))
	for i, d := range deliveries {
		messages[i] = d.Message
	}
	err := f.module.Forward(ctx, topic, messages...)
	if broker.Permanent(err) {
		return f.sendEach(ctx, topic, deliveries)
	}
	if err != nil {
		return fmt.Errorf("forward: %d messages to %s: %w", len(messages), topic, err)
	}
	for _, d := range deliveries {
		d.Ack()
	}
	return nil
}

// sendEach is for messages of which one can never be forwarded: that one goes to the dead letters.
func (f *forwarder) sendEach(ctx context.Context, topic string, deliveries []*tidings.Delivery[tidings.Raw]) error {
	for _, d := range deliveries {
		switch err := f.module.Forward(ctx, topic, d.Message); {
		case broker.Permanent(err):
			d.Term(err)
		case err != nil:
			return fmt.Errorf("forward: to %s: %w", topic, err)
		default:
			d.Ack()
		}
	}
	return nil
}

// name is the event's name in a type: that of the definition, or the middle of {domain}.{Name}.{version}.
func (f *forwarder) name(typ string) (string, error) {
	if d, ok := f.events[typ]; ok && d.IsInternal() {
		return "", fmt.Errorf("forward: %s is internal, and was published to the shared topic: find out who did that", typ)
	} else if ok {
		return d.Name, nil
	}
	parts := strings.Split(typ, ".")
	if len(parts) != 3 || parts[1] == "" {
		return "", fmt.Errorf("forward: type %q is not {domain}.{Name}.{version}: let the forwarder's service subscribe to a definition with this WireType", typ)
	}
	return parts[1], nil
}
