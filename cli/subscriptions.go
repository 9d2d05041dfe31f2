package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/broker"
)

// readings are how far the service's subscriptions have read.
type readings struct {
	Subscriptions []*reading `json:"subscriptions"`
}

type reading struct {
	Group   string `json:"group"`
	Members int    `json:"members"`
	Lag     uint64 `json:"lag"`
	// Behind is the age of the oldest message that is not settled, in seconds.
	Behind float64        `json:"behind_seconds"`
	Topics []topicReading `json:"topics"`
}

type topicReading struct {
	Topic  string  `json:"topic"`
	Lag    uint64  `json:"lag"`
	Behind float64 `json:"behind_seconds"`
}

func subscriptionsCommand(from *source) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "subscriptions",
		Short: "Say who reads, and how far behind each subscription is",
		Args:  NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return from.withManifest(cmd.Context(), func(s *subject) error {
				r, _, err := s.readings(cmd.Context())
				if err != nil {
					return err
				}
				return out.print(cmd.OutOrStdout(), r, r.print)
			})
		},
	}
	from.add(cmd)
	out.add(cmd)
	return cmd
}

// readings asks the broker where all groups stand. It returns what it heard of the topics, too.
func (s *subject) readings(ctx context.Context) (*readings, []broker.TopicState, error) {
	wanted, err := s.wanted()
	if err != nil {
		return nil, nil, err
	}
	states, err := s.broker.Topics(ctx, broker.Survey, wanted...)
	if err != nil {
		return nil, nil, fmt.Errorf("survey topics: %w", err)
	}
	all := &readings{Subscriptions: []*reading{}}
	now := time.Now()
	for _, sub := range s.Subscriptions {
		r := &reading{Group: sub.Group, Topics: []topicReading{}}
		for i := range states {
			if slices.Contains(sub.Topics, states[i].Name) {
				r.add(&states[i], now)
			}
		}
		all.Subscriptions = append(all.Subscriptions, r)
	}
	return all, states, nil
}

// add takes in where the group stands in one topic. A group that has no position there has everything before it.
func (r *reading) add(s *broker.TopicState, now time.Time) {
	found := broker.Readership{Lag: s.Lag[r.Group]}
	for _, other := range s.Readers {
		if other.Group == r.Group {
			found = other
		}
	}
	r.Members = max(r.Members, found.Members)
	r.Lag += found.Lag
	t := topicReading{Topic: s.Name, Lag: found.Lag}
	if !found.Oldest.IsZero() {
		t.Behind = max(0, now.Sub(found.Oldest).Seconds())
		r.Behind = max(r.Behind, t.Behind)
	}
	r.Topics = append(r.Topics, t)
}

func (r *readings) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "GROUP\tMEMBERS\tLAG\tBEHIND") // Flush says what went wrong
	for _, s := range r.Subscriptions {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", s.Group, s.Members, s.Lag, seconds(s.Behind))
	}
	return table.Flush()
}

// seconds is a number of seconds as people read it.
func seconds(n float64) string {
	return time.Duration(n * float64(time.Second)).Round(time.Second).String()
}
