package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func topicsCommand(from *source) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Compare, create and change the topics of a service",
		Args:  NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(planCommand(from), applyCommand(from), checkCommand(from))
	return cmd
}

func planCommand(from *source) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what apply would create or change; exit with 100 if that is something",
		Args:  NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return from.withManifest(cmd.Context(), func(s *subject) error {
				p, err := makePlan(cmd.Context(), s)
				if err != nil {
					return err
				}
				if err := out.print(cmd.OutOrStdout(), p, p.print); err != nil {
					return err
				}
				if len(p.Changes) > 0 {
					return errChanges
				}
				return nil
			})
		},
	}
	from.add(cmd)
	out.add(cmd)
	return cmd
}

func applyCommand(from *source) *cobra.Command {
	var out output
	var drain bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Create and change topics; never delete any",
		Long: `Create the topics that are missing, and change those that differ, as far as the broker can. Nothing is ever deleted.

A new number of partitions gives keys new places, so two messages of a key could be handled at the same time, by two owners. So the partitions of a
topic that is ordered by key are changed with --drain only. Then apply waits until nothing is on its way: stop what publishes to the topic, let the
subscriptions work off what is there, and stop the service when apply says that only its members are left. Programs of other services that
publish to the topic can't be seen: stop them too. Start everything again when apply is done.`,
		Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return from.withManifest(cmd.Context(), func(s *subject) error {
				p, err := makePlan(cmd.Context(), s)
				if err != nil {
					return err
				}
				if drain {
					d := drainer{subject: s, plan: p, status: cmd.ErrOrStderr()}
					if err = d.wait(cmd.Context(), wait); err != nil {
						return err
					}
				}
				if err = p.apply(cmd.Context(), s); err != nil {
					return err
				}
				if err = out.print(cmd.OutOrStdout(), p, p.print); err != nil {
					return err
				}
				return p.err()
			})
		},
	}
	from.add(cmd)
	out.add(cmd)
	cmd.Flags().BoolVar(&drain, "drain", false, "change partitions too, once nothing is on its way and nobody reads")
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long --drain waits")
	return cmd
}

// comparison is what check found.
type comparison struct {
	Topics []compared `json:"topics"`
}

type compared struct {
	Topic string `json:"topic"`
	// Status is ok, missing or different.
	Status      string   `json:"status"`
	Differences []string `json:"differences,omitempty"`
}

func checkCommand(from *source) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare topics with what the service wants; exit with 1 if one differs",
		Args:  NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return from.withManifest(cmd.Context(), func(s *subject) error {
				states, err := s.inspect(cmd.Context())
				if err != nil {
					return err
				}
				var c comparison
				var wrong error
				for i := range states {
					t := compared{Topic: states[i].Name, Status: "ok", Differences: states[i].Diff}
					switch {
					case states[i].Missing:
						t.Status, t.Differences = "missing", nil
					case len(t.Differences) > 0:
						t.Status = "different"
					}
					if t.Status != "ok" {
						wrong = ErrWrong
					}
					c.Topics = append(c.Topics, t)
				}
				if err := out.print(cmd.OutOrStdout(), c, c.print); err != nil {
					return err
				}
				return wrong
			})
		},
	}
	from.add(cmd)
	out.add(cmd)
	return cmd
}

func (c *comparison) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TOPIC\tSTATUS\tDIFFERENCES") // Flush says what went wrong
	for _, t := range c.Topics {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", t.Topic, t.Status, strings.Join(t.Differences, "; "))
	}
	return table.Flush()
}
