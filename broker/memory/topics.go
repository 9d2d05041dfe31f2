package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// maxPartitions keeps a slip in a number from taking all memory.
const maxPartitions = 4096

// Topics implements [broker.Broker]. Retention, replication, compaction and a limit of bytes are remembered and compared but not
// enforced: see [Config.Retain].
func (b *Broker) Topics(_ context.Context, op broker.Op, want ...broker.Topic) ([]broker.TopicState, error) {
	if b.isClosed() {
		return nil, broker.ErrClosed
	}
	if op == broker.Survey && len(want) == 0 {
		for _, name := range slices.Sorted(maps.Keys(*b.server.topics.Load())) {
			want = append(want, broker.Topic{Name: name})
		}
	}
	for i := range want {
		if err := b.checkTopic(&want[i]); err != nil {
			return nil, fmt.Errorf("memory: topic %q: %w", want[i].Name, err)
		}
	}
	states := make([]broker.TopicState, len(want))
	for i := range want {
		states[i] = b.state(op, &want[i])
	}
	return states, nil
}

// state does to one topic what op says, and describes it.
func (b *Broker) state(op broker.Op, want *broker.Topic) broker.TopicState {
	mayWrite := (op == broker.Apply || op == broker.Alter) && !want.External
	t, err := b.server.topic(want.Name)
	switch {
	case err != nil && !mayWrite:
		return broker.TopicState{Topic: *want, Missing: true}
	case err != nil:
		full := *want
		full.Partitions = cmp.Or(want.Partitions, b.server.config.Partitions)
		t = b.server.create(full)
	case mayWrite && op == broker.Alter:
		t.alter(want, b.server.config.Retain)
	}
	state := t.describe(*want)
	if op == broker.Survey {
		state.Readers = b.server.readers(t)
	}
	return state
}

func (b *Broker) checkTopic(want *broker.Topic) error {
	if err := checkName(want.Name); err != nil {
		return err
	}
	if want.Partitions < 0 || want.Partitions > maxPartitions {
		return fmt.Errorf("%d partitions: 0 to %d are possible: %w", want.Partitions, maxPartitions, broker.ErrInvalid)
	}
	if want.Retention < 0 || want.Replication < 0 || want.MaxBytes < 0 {
		return fmt.Errorf("retention %s, replication %d and %d bytes must not be negative: %w", want.Retention, want.Replication, want.MaxBytes, broker.ErrInvalid)
	}
	return b.server.fault("topics", want.Name)
}

// settings are what is only remembered.
type settings struct {
	retention   time.Duration
	replication int
	maxBytes    int64
	compact     bool
}

// alter changes t to what is wanted of it.
func (t *topic) alter(want *broker.Topic, retain int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settings = settings{
		retention: cmp.Or(want.Retention, t.settings.retention), replication: cmp.Or(want.Replication, t.settings.replication),
		maxBytes: cmp.Or(want.MaxBytes, t.settings.maxBytes), compact: want.Compact,
	}
	for len(t.partitions) < want.Partitions {
		t.partitions = append(t.partitions, newPartition(len(t.partitions), retain))
	}
}

// describe says how t is, and how it differs from what is wanted.
func (t *topic) describe(want broker.Topic) broker.TopicState {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := broker.TopicState{Topic: want, Lag: make(map[string]uint64, len(want.Groups))}
	state.Partitions, state.Retention = len(t.partitions), t.settings.retention
	state.Replication, state.MaxBytes, state.Compact = t.settings.replication, t.settings.maxBytes, t.settings.compact
	state.Diff = broker.Differences(&want, &state.Topic)
	for _, p := range t.partitions {
		state.Messages += p.next - p.first
		for _, group := range want.Groups {
			state.Lag[group] += p.lag(group)
		}
	}
	return state
}

// readers are the groups that have a position in t.
func (s *server) readers(t *topic) []broker.Readership {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	found := map[string]*broker.Readership{}
	for _, p := range t.partitions {
		for group, c := range p.cursors {
			if found[group] == nil {
				found[group] = &broker.Readership{Group: group, Members: len(s.groups[group].members)}
			}
			r := found[group]
			r.Lag += p.next - c.next
			if c.next < p.next && (r.Oldest.IsZero() || p.at(c.next).Time.Before(r.Oldest)) {
				r.Oldest = p.at(c.next).Time
			}
		}
	}
	readers := make([]broker.Readership, 0, len(found))
	for _, group := range slices.Sorted(maps.Keys(found)) {
		readers = append(readers, *found[group])
	}
	return readers
}
