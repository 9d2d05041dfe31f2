package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidings-go/tidings/broker"
)

// plan is what would be done to topics, or was done.
type plan struct {
	Changes []*change `json:"changes"`

	wanted []broker.Topic
}

// action is what becomes of a topic.
type action string

const (
	create action = "create"
	alter  action = "change"
	// drainFirst needs --drain: partitions of a topic with keys.
	drainFirst action = "drain"
	refuse     action = "refuse"
)

// change is what would be done to one topic.
type change struct {
	Topic  string `json:"topic"`
	Action action `json:"action"`
	// Differences are between what is wanted and what there is, and Reason says why something is refused.
	Differences []string `json:"differences,omitempty"`
	Reason      string   `json:"reason,omitempty"`
	// Done says that it was done.
	Done bool `json:"done"`

	want    broker.Topic
	drained bool
}

// inspect asks the broker for the service's topics.
func (s *subject) inspect(ctx context.Context) ([]broker.TopicState, error) {
	wanted, err := s.wanted()
	if err != nil {
		return nil, err
	}
	states, err := s.broker.Topics(ctx, broker.Inspect, wanted...)
	if err != nil {
		return nil, fmt.Errorf("inspect topics: %w", err)
	}
	return states, nil
}

func makePlan(ctx context.Context, s *subject) (*plan, error) {
	wanted, err := s.wanted()
	if err != nil {
		return nil, err
	}
	states, err := s.inspect(ctx)
	if err != nil {
		return nil, err
	}
	p := &plan{Changes: []*change{}, wanted: wanted}
	for i := range states {
		if c := planOne(s, &wanted[i], &states[i]); c != nil {
			p.Changes = append(p.Changes, c)
		}
	}
	return p, nil
}

// planOne says what is to be done to one topic. Nil: nothing.
func planOne(s *subject, want *broker.Topic, found *broker.TopicState) *change {
	c := &change{Topic: want.Name, Differences: found.Diff, want: *want}
	grows := want.Partitions > found.Partitions
	switch {
	case found.Missing && want.External:
		c.Action, c.Differences, c.Reason = refuse, nil, "it belongs to somebody else, who must make it"
	case found.Missing:
		c.Action, c.Differences = create, nil
	case len(found.Diff) == 0:
		return nil
	case want.External:
		c.Action, c.Reason = refuse, "it belongs to somebody else: ask its owner, or want what there is"
	case want.Partitions != 0 && want.Partitions < found.Partitions:
		c.Action, c.Reason = refuse, "partitions can't be taken away: want as many as there are, or publish to a new topic"
	case grows && s.isKeyed(want.Name):
		c.Action, c.Reason = drainFirst, "a new number of partitions gives keys new places: use apply --drain"
	default:
		c.Action = alter
	}
	return c
}

// apply does what can be done.
func (p *plan) apply(ctx context.Context, s *subject) error {
	for _, c := range p.Changes {
		if c.Action == refuse {
			continue
		}
		want := c.want
		if c.Action == drainFirst && !c.drained {
			want.Partitions = 0 // the rest is done
		}
		states, err := s.broker.Topics(ctx, broker.Alter, want)
		if err != nil {
			return fmt.Errorf("%s topic %s: %w", c.Action, c.Topic, err)
		}
		switch {
		case c.Action == drainFirst && !c.drained:
		case len(states[0].Diff) > 0:
			c.Action, c.Reason = refuse, "this broker can't change that: want what there is, or publish to a new topic"
		default:
			c.Done = true
		}
	}
	return nil
}

// err says whether something was left undone.
func (p *plan) err() error {
	if slices.ContainsFunc(p.Changes, func(c *change) bool { return !c.Done }) {
		return ErrWrong
	}
	return nil
}

func (p *plan) print(w io.Writer) error {
	if len(p.Changes) == 0 {
		text := fmt.Sprintf("%d topics are as they should be.\n", len(p.wanted))
		if len(p.wanted) == 1 {
			text = "The topic is as it should be.\n"
		}
		_, err := io.WriteString(w, text)
		return err
	}
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "%s %s", c.Action, c.Topic)
		if c.Done {
			b.WriteString(": done")
		}
		if c.Action == create {
			fmt.Fprintf(&b, " (%s)", describeTopic(&c.want))
		}
		b.WriteByte('\n')
		for _, d := range c.Differences {
			fmt.Fprintf(&b, "  %s\n", d)
		}
		if c.Reason != "" && !c.Done {
			fmt.Fprintf(&b, "  %s\n", c.Reason)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// describeTopic says how a new topic will be.
func describeTopic(t *broker.Topic) string {
	var parts []string
	add := func(wanted bool, format string, value any) {
		if wanted {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	add(t.Partitions > 0, "partitions %d", t.Partitions)
	add(t.Retention > 0, "retention %v", t.Retention)
	add(t.Replication > 0, "replication %d", t.Replication)
	add(t.MaxBytes > 0, "max bytes %d", t.MaxBytes)
	add(t.Compact, "%s", "compacted")
	if parts == nil {
		return "with the broker's defaults"
	}
	return strings.Join(parts, ", ")
}
