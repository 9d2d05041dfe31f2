package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// scannedMessages is how many messages of a topic are looked at, at most.
const scannedMessages = 100_000

// unpublished finds events that the service declares and that no message is of. A topic with more messages than are looked at proves nothing.
func (d *diagnosis) unpublished(ctx context.Context, s *subject, states []broker.TopicState) error {
	byTopic := map[string]map[string]bool{} // types that were not seen
	for _, e := range s.Events {
		if len(e.Owners) == 0 || e.PublishTopic == "" {
			continue
		}
		if byTopic[e.PublishTopic] == nil {
			byTopic[e.PublishTopic] = map[string]bool{}
		}
		byTopic[e.PublishTopic][e.Type] = true
	}
	for i := range states {
		topic, missing := states[i].Name, byTopic[states[i].Name]
		if states[i].Missing || len(missing) == 0 {
			continue
		}
		complete, err := scan(ctx, s.broker, topic, missing)
		if err != nil {
			return fmt.Errorf("look for events in topic %s: %w", topic, err)
		}
		if !complete {
			continue
		}
		for _, typ := range slices.Sorted(maps.Keys(missing)) {
			d.doubtful("event "+typ, "the service declares it, and topic "+topic+" has no message of it",
				"publish it, or take it out of Emits; if it is rare, nothing is wrong")
		}
	}
	return nil
}

// scan reads a topic until all types were seen, which it takes out of missing. It reports whether it has read enough to know.
func scan(ctx context.Context, b broker.Broker, topic string, missing map[string]bool) (complete bool, err error) {
	seen := 0
	err = read(ctx, b, broker.Reader{Topics: []string{topic}, ToEnd: true}, func(deliveries []broker.Delivery) bool {
		for i := range deliveries {
			if typ, ok := cloudevents.PeekType(deliveries[i].Headers, deliveries[i].Value); ok {
				delete(missing, typ)
			}
		}
		seen += len(deliveries)
		return seen < scannedMessages && len(missing) > 0
	})
	return len(missing) == 0 || seen < scannedMessages, errors.Join(err, ctx.Err())
}
