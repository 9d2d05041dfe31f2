package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// diagnosis is what doctor found.
type diagnosis struct {
	Findings []finding `json:"findings"`
}

type finding struct {
	// Severity is "wrong" or "doubtful".
	Severity string `json:"severity"`
	Where    string `json:"where"`
	Problem  string `json:"problem"`
	Remedy   string `json:"remedy,omitempty"`
}

func (d *diagnosis) wrong(where, problem, remedy string) {
	d.Findings = append(d.Findings, finding{"wrong", where, problem, remedy})
}

func (d *diagnosis) doubtful(where, problem, remedy string) {
	d.Findings = append(d.Findings, finding{"doubtful", where, problem, remedy})
}

// patience is how old something may be before doctor speaks of it.
type patience struct{ lag, outbox time.Duration }

func doctorCommand(from *source) *cobra.Command {
	var out output
	var p patience
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find everything that is known to be wrong, and say what to do about it",
		Long: `Find everything that is known to be wrong with a service, each with its remedy: mistakes in definitions and subscriptions (with the service's own binary),
topics that are missing or different, groups that are no subscription's any more, events that are declared and were never published, dead letters, an outbox
that is not emptied, and subscriptions that are behind. It changes nothing, and exits with 1 if something is wrong; what is only doubtful is no reason.`,
		Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return from.withManifest(cmd.Context(), func(s *subject) error {
				d, err := diagnose(cmd.Context(), s, p)
				if err != nil {
					return err
				}
				if err := out.print(cmd.OutOrStdout(), d, d.print); err != nil {
					return err
				}
				if slices.ContainsFunc(d.Findings, func(f finding) bool { return f.Severity == "wrong" }) {
					return ErrWrong
				}
				return nil
			})
		},
	}
	from.add(cmd)
	out.add(cmd)
	cmd.Flags().DurationVar(&p.lag, "max-lag", 5*time.Minute, "how old the oldest message that a subscription has not handled may be")
	cmd.Flags().DurationVar(&p.outbox, "max-outbox", time.Minute, "how old the oldest row of the outbox may be")
	return cmd
}

func diagnose(ctx context.Context, s *subject, p patience) (*diagnosis, error) {
	d := &diagnosis{Findings: []finding{}}
	if s.app != nil {
		for _, problem := range s.app.Problems(ctx) {
			if problem.Severity == tidings.Wrong {
				d.wrong(problem.Where, problem.Text, "")
			} else {
				d.doubtful(problem.Where, problem.Text, "")
			}
		}
	}
	r, states, err := s.readings(ctx)
	if err != nil {
		return nil, err
	}
	d.topics(states)
	d.lag(r, p)
	everything, err := s.broker.Topics(ctx, broker.Survey)
	if err != nil {
		return nil, fmt.Errorf("survey the broker: %w", err)
	}
	d.orphans(s, everything)
	if err = d.unpublished(ctx, s, states); err != nil {
		return nil, err
	}
	if s.store != nil {
		err = d.rows(ctx, s, p)
	}
	return d, err
}

func (d *diagnosis) topics(states []broker.TopicState) {
	for i := range states {
		s := &states[i]
		switch {
		case s.Missing && s.External:
			d.wrong("topic "+s.Name, "it does not exist, and belongs to somebody else", "ask its owner to make it")
		case s.Missing:
			d.wrong("topic "+s.Name, "it does not exist", "topics apply makes it, and so does the service when it starts")
		case len(s.Diff) > 0:
			d.wrong("topic "+s.Name, strings.Join(s.Diff, "; "), "topics plan says what can be changed; or want what there is, in Config.Topics")
		}
		if group, ok := strings.CutSuffix(s.Name, ".dead-letters"); ok && s.Messages > 0 {
			d.wrong("subscription "+group, fmt.Sprintf("%d dead letters", s.Messages), "tail --from earliest --topic "+s.Name+" shows them and why")
		}
	}
}

func (d *diagnosis) lag(r *readings, p patience) {
	for _, s := range r.Subscriptions {
		behind := fmt.Sprintf("%d messages are not handled, the oldest is %s old", s.Lag, seconds(s.Behind))
		switch {
		case s.Lag == 0:
		case s.Members == 0:
			d.wrong("subscription "+s.Group, behind+", and nobody reads", "start the service")
		case s.Behind > p.lag.Seconds():
			d.wrong("subscription "+s.Group, behind, "look for slow or failing reactions; raise Concurrency, or add replicas or partitions")
		}
	}
}

// orphans finds groups that are named like the service's and are no subscription's or listener's.
func (d *diagnosis) orphans(s *subject, everything []broker.TopicState) {
	known := map[string]bool{}
	for _, sub := range s.Subscriptions {
		known[sub.Group] = true
	}
	for _, l := range s.Listeners {
		known[s.Service+"."+l.Queue] = true
	}
	for i := range everything {
		for _, r := range everything[i].Readers {
			if known[r.Group] || !strings.HasPrefix(r.Group, s.Service+".") {
				continue
			}
			known[r.Group] = true
			if r.Members > 0 {
				d.doubtful("group "+r.Group, fmt.Sprintf("the service has no such subscription, and %d members read topic %s with it", r.Members, everything[i].Name),
					"find out which version of the service runs")
				continue
			}
			d.doubtful("group "+r.Group, "the service has no such subscription any more, and the group keeps its position in topic "+everything[i].Name,
				"delete the group at the broker, or bring the subscription back under its name")
		}
	}
}

// rows looks at outbox and dead letters.
func (d *diagnosis) rows(ctx context.Context, s *subject, p patience) error {
	n, oldest, err := countRows(ctx, s.store, store.Filter{Queues: []string{""}, States: []store.State{store.Ready}})
	if err != nil {
		return fmt.Errorf("look at the outbox: %w", err)
	}
	if age := time.Since(oldest); n > 0 && age > p.outbox {
		d.wrong("outbox", fmt.Sprintf("%s not published, the oldest is %s old", counted(n, "row"), seconds(age.Seconds())),
			"start the service, or tidings relay, which publish them, and see that they reach the broker: tidings outbox status")
	}
	queues := []string{""}
	for _, sub := range s.Subscriptions {
		queues = append(queues, sub.Group)
	}
	for _, queue := range queues {
		n, _, err := countRows(ctx, s.store, store.Filter{Queues: []string{queue}, States: []store.State{store.Dead}})
		if err != nil {
			return fmt.Errorf("look at the dead letters: %w", err)
		}
		if n == 0 {
			continue
		}
		if queue == "" {
			d.wrong("outbox", counted(n, "row")+" can't be published", "tidings outbox list shows them and why")
			continue
		}
		d.wrong("subscription "+queue, counted(n, "dead letter"), "tidings deadletters list shows them and why; retry or discard them")
	}
	return nil
}

// counted is a number of things that may be a lower bound.
func counted(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case n >= countedRows:
		return fmt.Sprintf("%d or more %ss", n, what)
	default:
		return fmt.Sprintf("%d %ss", n, what)
	}
}

func (d *diagnosis) print(w io.Writer) error {
	if len(d.Findings) == 0 {
		_, err := fmt.Fprintln(w, "Nothing is wrong.")
		return err
	}
	var b strings.Builder
	for _, f := range d.Findings {
		fmt.Fprintf(&b, "%s: %s: %s\n", f.Severity, f.Where, f.Problem)
		if f.Remedy != "" {
			fmt.Fprintf(&b, "  %s\n", f.Remedy)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
