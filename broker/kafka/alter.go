package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tidings-go/tidings/broker"
)

// alter changes topics that differ from what is wanted of them.
func (a *admin) alter(ctx context.Context, want []broker.Topic) error {
	states, err := a.inspect(ctx, broker.Inspect, want)
	if err != nil {
		return err
	}
	for i := range states {
		w, s := &want[i], &states[i]
		if w.External || w.Live || s.Missing || len(s.Diff) == 0 {
			continue
		}
		partitions := s.Partitions
		if w.Partitions > s.Partitions {
			if err := a.grow(ctx, w); err != nil {
				return err
			}
			partitions = w.Partitions
		}
		if err := a.configure(ctx, w, partitions); err != nil {
			return err
		}
	}
	return nil
}

// grow adds partitions to a topic, and waits until they can be used.
func (a *admin) grow(ctx context.Context, w *broker.Topic) error {
	answers, err := a.cl.UpdatePartitions(ctx, w.Partitions, w.Name)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		return fmt.Errorf("give %s %d partitions: %w", w.Name, w.Partitions, explain(err))
	}
	return await(ctx, a.b.cl, w.Partitions, w.Name)
}

// configure changes a topic's configuration.
func (a *admin) configure(ctx context.Context, w *broker.Topic, partitions int) error {
	configs := settings(w, partitions)
	configs[cleanupPolicy] = new(policy(w))
	changes := make([]kadm.AlterConfig, 0, len(configs))
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: configs[name]})
	}
	answers, err := a.cl.AlterTopicConfigs(ctx, changes, w.Name)
	if err != nil {
		return fmt.Errorf("configure %s: %w", w.Name, explain(err))
	}
	for _, answer := range answers {
		if answer.Err != nil {
			return fmt.Errorf("configure %s: %w: %s", w.Name, explain(answer.Err), answer.ErrMessage)
		}
	}
	return a.awaitConfiguration(ctx, w.Name, configs)
}

// awaitConfiguration waits until the brokers know what was just configured.
func (a *admin) awaitConfiguration(ctx context.Context, name string, configs map[string]*string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for {
		found, err := topicConfigs(ctx, a.b.cl, name)
		if err != nil {
			return err
		}
		known := true
		for setting, value := range configs {
			known = known && found[name][setting] == *value
		}
		if known {
			return nil
		}
		if !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("wait until the configuration of %s is known: %w", name, ctx.Err())
		}
	}
}

// settings are what of a topic is its configuration, and can be changed.
func settings(w *broker.Topic, partitions int) map[string]*string {
	configs := map[string]*string{}
	if w.Retention > 0 {
		configs[retentionTime] = new(millis(w.Retention))
	}
	if w.MaxBytes > 0 {
		share := perPartition(w.MaxBytes, partitions)
		configs[retentionSize] = new(strconv.FormatInt(share, 10))
		// The segment that is written to is never removed.
		configs[segmentSize] = new(strconv.FormatInt(min(max(share/4, 1<<20), 1<<30), 10))
	}
	return configs
}

func policy(w *broker.Topic) string {
	switch {
	case w.Compact && w.Retention > 0:
		return "compact,delete"
	case w.Compact:
		return "compact"
	default:
		return "delete"
	}
}

// perPartition is a partition's share of a topic's bytes.
func perPartition(bytes int64, partitions int) int64 {
	n := int64(max(partitions, 1))
	return (bytes + n - 1) / n
}

// maxBytes reads retention.bytes as what a whole topic has: what was wanted, if that was rounded to it.
func maxBytes(share string, wanted int64, partitions int) int64 {
	n, err := strconv.ParseInt(share, 10, 64)
	switch {
	case err != nil || n < 0:
		return 0
	case n == perPartition(wanted, partitions):
		return wanted
	default:
		return n * int64(partitions)
	}
}

func millis(d time.Duration) string {
	if d == broker.Unlimited {
		return "-1"
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}

// retention reads retention.ms. Unlimited is as long as a duration can be.
func retention(ms string) time.Duration {
	n, err := strconv.ParseInt(ms, 10, 64)
	switch {
	case err != nil:
		return 0
	case n < 0 || n > broker.Unlimited.Milliseconds():
		return broker.Unlimited
	default:
		return time.Duration(n) * time.Millisecond
	}
}
