package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// tailOptions are the flags of tail.
type tailOptions struct {
	output
	topics []string
	from   string
	key    string
	limit  int
	follow bool
}

func tailCommand(from *source) *cobra.Command {
	var o tailOptions
	cmd := &cobra.Command{
		Use:   "tail [EVENT…]",
		Short: "Print events as they come, or from where you say",
		Long: `Print decoded events of topics, one line each, as text or as JSON. Nobody who reads is disturbed: tail has no group and no position.

An event is a type ("tickets.BookingMade.v1") or a name ("BookingMade"). Where the manifest or the service's binary knows it, tail finds its topic; otherwise, and
to see all events of a topic, say --topic. Messages of one key come in their order; between keys there is none.

--from is "now", "earliest", a time (2026-03-01T12:00:00Z), a time ago (10m), or a sequence as tail prints it (42).`,
		Example: `  shop tail BookingMade --from earliest --key hamlet --limit 10
  tidings tail --broker nats://localhost --topic events --from 1h -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return from.with(cmd.Context(), func(s *subject) error {
				t, err := o.prepare(s, args)
				if err != nil {
					return err
				}
				t.out = cmd.OutOrStdout()
				return t.run(cmd.Context(), s.broker)
			})
		},
	}
	from.add(cmd)
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&o.topics, "topic", nil, "read this topic; may be there several times")
	flags.StringVar(&o.from, "from", "now", "where to begin: now, earliest, a time, a time ago, or a sequence")
	flags.StringVar(&o.key, "key", "", "only messages of this key")
	flags.IntVar(&o.limit, "limit", 0, "end after so many")
	flags.BoolVar(&o.follow, "follow", true, "wait for more; with --follow=false end at what is the end now")
	return cmd
}

// tailer prints what it reads.
type tailer struct {
	tailOptions
	reader   broker.Reader
	sequence uint64   // where to begin, in each partition
	events   []string // types or names; none: all
	out      io.Writer
	printed  int
}

func (o *tailOptions) prepare(s *subject, events []string) (*tailer, error) {
	if o.limit < 0 {
		return nil, usageError{fmt.Errorf("--limit %d: want a positive number", o.limit)}
	}
	t := &tailer{tailOptions: *o, events: slices.Clone(events), reader: broker.Reader{Topics: slices.Clone(o.topics), ToEnd: !o.follow}}
	if err := t.begin(time.Now()); err != nil {
		return nil, err
	}
	for _, event := range events {
		if !t.find(event, s.Events) && len(o.topics) == 0 {
			return nil, usageError{fmt.Errorf("event %q is not known here: say --topic, or --manifest with a service that has it", event)}
		}
	}
	if len(t.reader.Topics) == 0 {
		return nil, usageError{errors.New("what is to be read? Name events, or a topic with --topic")}
	}
	return t, nil
}

// find looks for an event among those of the service, for its topic and its type, and reports whether it is there.
func (t *tailer) find(event string, known []tidings.DescribedEvent) bool {
	found := false
	for _, e := range known {
		if e.Type != event && e.Name != event {
			continue
		}
		found = true
		t.events = append(t.events, e.Type) // it may have a wire type of its own
		if len(t.topics) == 0 && e.PublishTopic != "" && !slices.Contains(t.reader.Topics, e.PublishTopic) {
			t.reader.Topics = append(t.reader.Topics, e.PublishTopic)
		}
	}
	return found
}

// begin reads --from.
func (t *tailer) begin(now time.Time) error {
	if n, err := strconv.ParseUint(t.from, 10, 64); err == nil {
		t.sequence = n
		return nil
	}
	if ago, err := time.ParseDuration(t.from); err == nil && ago > 0 {
		t.reader.From.At = now.Add(-ago)
		return nil
	}
	if at, err := time.Parse(time.RFC3339, t.from); err == nil {
		t.reader.From.At = at
		return nil
	}
	switch t.from {
	case "earliest":
	case "now":
		t.reader.From.Latest = true
	default:
		return usageError{fmt.Errorf("--from %q: want now, earliest, a time such as 2026-03-01T12:00:00Z, a time ago such as 10m, or a sequence", t.from)}
	}
	return nil
}

// matches reports whether a type is what somebody named: the whole of it, or its middle.
func matches(event, typ string) bool {
	if event == typ {
		return true
	}
	parts := strings.Split(typ, ".")
	return len(parts) == 3 && parts[1] == event
}

// run prints until ctx ends, the limit is reached, or the end when it does not follow.
func (t *tailer) run(ctx context.Context, b broker.Broker) error {
	var failed error
	err := read(ctx, b, t.reader, func(deliveries []broker.Delivery) bool {
		failed = t.printAll(deliveries)
		return failed == nil && (t.limit == 0 || t.printed < t.limit)
	})
	return errors.Join(err, failed)
}

// printAll prints those deliveries that are wanted, up to the limit.
func (t *tailer) printAll(deliveries []broker.Delivery) error {
	for i := range deliveries {
		l := newLine(&deliveries[i])
		if !t.wants(l) || t.limit > 0 && t.printed >= t.limit {
			continue
		}
		if err := l.print(t.out, t.format); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		t.printed++
	}
	return nil
}

func (t *tailer) wants(l *line) bool {
	if l.Sequence < t.sequence || t.key != "" && l.Key != t.key {
		return false
	}
	return len(t.events) == 0 || slices.ContainsFunc(t.events, func(event string) bool { return matches(event, l.Type) })
}

// newLine decodes a delivery. What is no event has its error and its bytes.
func newLine(d *broker.Delivery) *line {
	l := &line{Topic: d.Topic, Partition: d.Partition, Sequence: d.Sequence, Stored: d.Time.UTC(), Key: d.Key}
	e, err := cloudevents.Decode(d.Headers, d.Value)
	if err != nil {
		l.Error = err.Error()
		l.setData(d.Value)
		return l
	}
	l.ID, l.Type, l.Source, l.Subject = e.ID, e.Type, e.Source, e.Subject
	l.CorrelationID, l.CausationID, l.ContentType = e.CorrelationID, e.CausationID, e.ContentType
	if e.PartitionKey != "" {
		l.Key = e.PartitionKey
	}
	if !e.Time.IsZero() {
		l.Time = new(e.Time.UTC())
	}
	l.setData(e.Data)
	return l
}
