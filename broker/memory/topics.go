package memory

import (
	"cmp"
	"context"
	"fmt"

	"github.com/tidings-go/tidings/broker"
)

// maxPartitions keeps a slip in a number from taking all memory.
const maxPartitions = 4096

// Topics implements [broker.Broker]. Retention is remembered and compared but not enforced: see [Config.Retain].
func (b *Broker) Topics(_ context.Context, op broker.Op, want ...broker.Topic) ([]broker.TopicState, error) {
	for i := range want {
		if err := b.checkTopic(&want[i]); err != nil {
			return nil, fmt.Errorf("memory: topic %q: %w", want[i].Name, err)
		}
	}
	states := make([]broker.TopicState, len(want))
	for i, w := range want {
		t, err := b.server.topic(w.Name)
		if err != nil && op == broker.Apply && !w.External {
			w.Partitions = cmp.Or(w.Partitions, b.server.config.Partitions)
			t, err = b.server.create(w), nil
		}
		if err != nil {
			states[i] = broker.TopicState{Topic: want[i], Missing: true}
			continue
		}
		states[i] = t.describe(want[i])
	}
	return states, nil
}

func (b *Broker) checkTopic(want *broker.Topic) error {
	if b.isClosed() {
		return broker.ErrClosed
	}
	if err := checkName(want.Name); err != nil {
		return err
	}
	if want.Partitions < 0 || want.Partitions > maxPartitions {
		return fmt.Errorf("%d partitions: 0 to %d are possible: %w", want.Partitions, maxPartitions, broker.ErrInvalid)
	}
	if want.Retention < 0 {
		return fmt.Errorf("a retention of %s is negative: %w", want.Retention, broker.ErrInvalid)
	}
	return b.server.fault("topics", want.Name)
}

// describe says how t is, and how it differs from what is wanted.
func (t *topic) describe(want broker.Topic) broker.TopicState {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := broker.TopicState{Topic: want, Lag: make(map[string]uint64, len(want.Groups))}
	state.Partitions, state.Retention = len(t.partitions), t.retention
	if want.Partitions != 0 && want.Partitions != state.Partitions {
		state.Diff = append(state.Diff, fmt.Sprintf("partitions: %d wanted, %d found", want.Partitions, state.Partitions))
	}
	if want.Retention != 0 && want.Retention != state.Retention {
		state.Diff = append(state.Diff, fmt.Sprintf("retention: %s wanted, %s found", want.Retention, state.Retention))
	}
	for _, p := range t.partitions {
		state.Messages += p.next - p.first
		for _, group := range want.Groups {
			state.Lag[group] += p.lag(group)
		}
	}
	return state
}
