package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/store"
)

func outboxCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "Look at what waits to be published; park, release or discard it",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(outboxStatus(), outboxList(), outboxShow(), outboxPark(), outboxRelease(), outboxDiscard())
	return cmd
}

// outboxView is the state of an outbox.
type outboxView struct {
	Ready         int64      `json:"ready"`
	Scheduled     int64      `json:"scheduled"`
	Held          int64      `json:"held"`
	Dead          int64      `json:"dead"`
	OldestSeconds float64    `json:"oldest_seconds"`
	AppendedPer   float64    `json:"appended_per_second"`
	PublishedPer  float64    `json:"published_per_second"`
	Lanes         []laneView `json:"lanes"`
	Stuck         []stuck    `json:"stuck"`
}

type laneView struct {
	Lane  int        `json:"lane"`
	Owner string     `json:"owner"`
	Epoch int64      `json:"epoch,omitempty"`
	Until *time.Time `json:"until,omitempty"`
}

// stuck is a key that waits for a person.
type stuck struct {
	Topic string `json:"topic"`
	Key   string `json:"key"`
	Row   int64  `json:"row"`
	Error string `json:"error"`
}

func outboxStatus() *cobra.Command {
	var flags storeFlags
	var sample time.Duration
	cmd := &cobra.Command{
		Use:     "status --store URL",
		Short:   "Say how much waits, how old it is, how fast it goes, who relays and what is stuck",
		Example: "  tidings outbox status --store postgres://shop@db/shop",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd.Context(), func(s connect.StoreCloser) error {
				view, err := outboxState(cmd.Context(), s, sample)
				if err != nil {
					return err
				}
				if flags.output == "json" {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(view)
				}
				return view.print(cmd.OutOrStdout())
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().DurationVar(&sample, "sample", time.Second, "for how long to watch, to tell the rates")
	return cmd
}

func outboxState(ctx context.Context, s connect.Database, sample time.Duration) (view outboxView, err error) {
	first, err := s.Status(ctx)
	if err != nil {
		return view, err
	}
	began := time.Now()
	timer := time.NewTimer(sample)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return view, ctx.Err()
	}
	now, err := s.Status(ctx)
	if err != nil {
		return view, err
	}
	before, q := queueOf(&first, ""), queueOf(&now, "")
	view = outboxView{Ready: q.Ready, Scheduled: q.Scheduled, Held: q.Held, Dead: q.Dead, Lanes: []laneView{}, Stuck: []stuck{}}
	if !q.Oldest.IsZero() {
		view.OldestSeconds = time.Since(q.Oldest).Seconds()
	}
	seconds := time.Since(began).Seconds()
	appended := float64(now.LastID - first.LastID)
	view.AppendedPer = appended / seconds
	view.PublishedPer = max(0, appended-float64(q.Ready-before.Ready)) / seconds
	for _, l := range now.Lanes {
		if l.Queue != "" {
			continue
		}
		lane := laneView{Lane: l.Lane, Owner: l.Owner, Epoch: l.Epoch}
		if !l.Until.IsZero() {
			lane.Until = &l.Until
		}
		view.Lanes = append(view.Lanes, lane)
	}
	dead, err := admin.Find(ctx, s, admin.Filter{Queues: []string{""}, States: []store.State{store.Dead}, Limit: 100})
	for i := range dead {
		r := &dead[i]
		view.Stuck = append(view.Stuck, stuck{r.Record.Topic, r.Record.Key, r.ID, admin.LastError(r)})
	}
	return view, err
}

func queueOf(s *store.Status, name string) store.QueueStatus {
	for _, q := range s.Queues {
		if q.Queue == name {
			return q
		}
	}
	return store.QueueStatus{}
}

func (v *outboxView) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "ready\t%d\nscheduled\t%d\nheld\t%d\ndead\t%d\n", v.Ready, v.Scheduled, v.Held, v.Dead)
	fmt.Fprintf(table, "oldest\t%.1f s\nappended\t%.0f/s\npublished\t%.0f/s\n", v.OldestSeconds, v.AppendedPer, v.PublishedPer)
	if len(v.Lanes) == 0 {
		fmt.Fprintln(table, "relay\tnone is known: does a service or \"tidings relay\" run?")
	}
	for _, l := range v.Lanes {
		fmt.Fprintf(table, "lane %d\t%s\n", l.Lane, l.Owner)
	}
	for _, s := range v.Stuck {
		fmt.Fprintf(table, "stuck\trow %d, key %q of %s: %s\n", s.Row, s.Key, s.Topic, oneLine(s.Error, 100))
	}
	return table.Flush()
}

// outboxRows finds rows of the outbox in some states.
func outboxRows(states ...store.State) func(ctx context.Context, s store.Store, sel *selection) ([]store.Row, error) {
	return func(ctx context.Context, s store.Store, sel *selection) ([]store.Row, error) {
		f := sel.filter
		f.Queues, f.States = []string{""}, states
		return admin.Find(ctx, s, f)
	}
}

func outboxList() *cobra.Command {
	var flags storeFlags
	var sel selection
	cmd := &cobra.Command{
		Use:     "list --store URL",
		Short:   "List what is in the outbox",
		Example: "  tidings outbox list --store sqlite:shop.db --limit 20",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd.Context(), func(s connect.StoreCloser) error {
				rows, err := outboxRows()(cmd.Context(), s, &sel)
				if err != nil {
					return err
				}
				return printRows(cmd.Context(), cmd.OutOrStdout(), s, flags.output, rows)
			})
		},
	}
	flags.add(cmd)
	sel.add(cmd)
	return cmd
}

func outboxShow() *cobra.Command {
	var flags storeFlags
	cmd := &cobra.Command{
		Use:     "show ID --store URL",
		Short:   "Show all of a row: attributes, history, payload",
		Example: "  tidings outbox show 4711 --store sqlite:shop.db",
		Args:    oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.with(cmd.Context(), func(s connect.StoreCloser) error { return showRow(cmd, &flags, s, args) })
		},
	}
	flags.add(cmd)
	return cmd
}

func outboxPark() *cobra.Command {
	var reason string
	b := &bulk{verb: "park", noun: "ready rows of the outbox", find: outboxRows(store.Ready)}
	b.do = func(ctx context.Context, s store.Store, rows []store.Row) error {
		return admin.Park(ctx, s, rows, reason)
	}
	cmd := b.command("Keep rows from being published; later rows of their keys wait", "  tidings outbox park 4711 --reason \"wrong price\" --store sqlite:shop.db")
	b.selection.add(cmd)
	needReason(cmd, &reason)
	return cmd
}

func outboxRelease() *cobra.Command {
	b := &bulk{verb: "release", noun: "dead rows of the outbox", find: outboxRows(store.Dead), do: admin.Release}
	cmd := b.command("Publish parked rows after all, before the rows that wait behind them", "  tidings outbox release 4711 --store sqlite:shop.db")
	b.selection.add(cmd)
	return cmd
}

func outboxDiscard() *cobra.Command {
	var reason string
	b := &bulk{verb: "discard", noun: "dead rows of the outbox", find: outboxRows(store.Dead)}
	b.do = func(ctx context.Context, s store.Store, rows []store.Row) error {
		return admin.Discard(ctx, s, rows, reason)
	}
	cmd := b.command("Take parked rows away; a copy with the reason is kept, and the rows behind them are published",
		"  tidings outbox discard 4711 --reason \"no such topic any more\" --store sqlite:shop.db")
	b.selection.add(cmd)
	needReason(cmd, &reason)
	return cmd
}
