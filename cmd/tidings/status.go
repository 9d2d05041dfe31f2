package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/embedded"
	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

// standing is what a running demo holds.
type standing struct {
	Topics      []topicStanding `json:"topics"`
	Outbox      int             `json:"outbox"`
	DeadLetters int             `json:"dead_letters"`
}

type topicStanding struct {
	Name     string            `json:"name"`
	Messages uint64            `json:"messages"`
	Lag      map[string]uint64 `json:"lag"` // by group
}

func statusCommand() *cobra.Command {
	var data, output string
	cmd := &cobra.Command{
		Use:     "status --data DIR",
		Short:   "Look into a running demo: topics, lag, outbox, dead letters",
		Long:    "Look into the demo that runs in a folder: what its topics hold, how far each subscription is behind, and what waits in outbox and dead letters.",
		Example: "  tidings status --data ./data -o json",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data == "" {
				return cli.Usage(errors.New("--data: name the folder of the running demo"))
			}
			if output != "text" && output != "json" {
				return cli.Usage(fmt.Errorf("--output %q: want text or json", output))
			}
			s, err := readStatus(cmd.Context(), data)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
			}
			return s.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the folder of the running demo")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "how to print it: text or json")
	return cmd
}

// readStatus attaches to the broker of the process that has the folder, and opens its database beside it.
func readStatus(ctx context.Context, dir string) (s standing, err error) {
	nc, err := embedded.Attach(ctx, dir)
	if err != nil {
		return s, err
	}
	defer nc.Close()
	log := slog.New(slog.DiscardHandler)
	b, err := nats.New(ctx, nc, nats.Config{Log: log})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	db, err := sqlite.Open(ctx, filepath.Join(dir, embedded.Database), sqlite.Config{Log: log})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	p, err := platform.New(ctx, platform.Config{Broker: b, Store: db, DB: db.DB(), Log: log})
	if err != nil {
		return s, err
	}
	states, err := p.App().Topics(ctx)
	if err != nil {
		return s, err
	}
	for _, t := range states {
		s.Topics = append(s.Topics, topicStanding{Name: t.Name, Messages: t.Messages, Lag: t.Lag})
	}
	for row, err := range db.List(ctx, store.Filter{}) {
		if err != nil {
			return s, err
		}
		if row.State == store.Dead {
			s.DeadLetters++
		} else {
			s.Outbox++
		}
	}
	return s, nil
}

func (s *standing) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TOPIC\tMESSAGES\tBEHIND")
	for _, t := range s.Topics {
		behind := uint64(0)
		for _, lag := range t.Lag {
			behind += lag
		}
		fmt.Fprintf(table, "%s\t%d\t%d\n", t.Name, t.Messages, behind)
	}
	fmt.Fprintf(table, "\noutbox\t%d\ndead letters\t%d\n", s.Outbox, s.DeadLetters)
	return table.Flush()
}
