package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/store"
)

func deadlettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "Look at what subscriptions gave up on; retry, edit or discard it",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(deadlettersList(), deadlettersShow(), deadlettersRetry(), deadlettersEdit(), deadlettersDiscard())
	return cmd
}

// deadLetters are the dead rows of subscriptions that a call means: those of the outbox have commands of their own.
func deadLetters(ctx context.Context, s store.Store, sel *selection) ([]store.Row, error) {
	return letters(ctx, s, sel, store.Dead)
}

// letters are the rows of subscriptions in some states that a call means.
func letters(ctx context.Context, s store.Store, sel *selection, states ...store.State) ([]store.Row, error) {
	f := sel.filter
	if len(f.IDs) == 0 {
		f.States = states // With ids, those of other states are there too, and not meant.
	}
	if sel.queue != "" {
		f.Queues = []string{sel.queue}
	}
	f.Limit = 0
	rows, err := admin.Find(ctx, s, f)
	if err != nil {
		return nil, err
	}
	var letters []store.Row
	for _, r := range rows {
		if r.Queue != "" && slices.Contains(states, r.State) && (sel.filter.Limit == 0 || len(letters) < sel.filter.Limit) {
			letters = append(letters, r)
		}
	}
	return letters, nil
}

func deadlettersList() *cobra.Command {
	var flags storeFlags
	var sel selection
	var held bool
	cmd := &cobra.Command{
		Use:   "list --store URL",
		Short: "List dead letters, and what waits for them",
		Long: "List dead letters. WAITING says how many later messages of its key wait for a dead letter (\"3 behind\"), where the subscription holds keys: when it is\n" +
			"retried and handled, or discarded, they follow in order. With --held these messages are listed too, with what they wait for (\"for 4711\").",
		Example: "  tidings deadletters list --store sqlite:shop.db --subscription shop.mailer --error timeout\n  tidings deadletters list --store sqlite:shop.db --held --key order-42",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd.Context(), func(s connect.StoreCloser) error {
				states := []store.State{store.Dead}
				if held {
					states = append(states, store.Held)
				}
				rows, err := letters(cmd.Context(), s, &sel, states...)
				if err != nil {
					return err
				}
				return printRows(cmd.Context(), cmd.OutOrStdout(), s, flags.output, rows)
			})
		},
	}
	flags.add(cmd)
	sel.addWithQueue(cmd)
	cmd.Flags().BoolVar(&held, "held", false, "list what waits behind dead letters too")
	return cmd
}

func (s *selection) addWithQueue(cmd *cobra.Command) {
	s.add(cmd)
	cmd.Flags().StringVar(&s.queue, "subscription", "", "only those of this subscription, as {service}.{name}; {service}.{name}/discarded are those that were discarded")
}

func deadlettersShow() *cobra.Command {
	var flags storeFlags
	cmd := &cobra.Command{
		Use:     "show ID --store URL",
		Short:   "Show all of a dead letter or a held message: attributes, history, payload, what waits for what",
		Example: "  tidings deadletters show 4711 --store sqlite:shop.db -o json",
		Args:    oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.with(cmd.Context(), func(s connect.StoreCloser) error { return showRow(cmd, &flags, s, args) })
		},
	}
	flags.add(cmd)
	return cmd
}

// showRow prints the row whose id is the argument.
func showRow(cmd *cobra.Command, flags *storeFlags, s store.Store, args []string) error {
	var sel selection
	if err := sel.take(args); err != nil {
		return err
	}
	rows, err := admin.Find(cmd.Context(), s, sel.filter)
	if err != nil {
		return err
	}
	waits, err := admin.Waits(cmd.Context(), s, rows)
	if err != nil {
		return err
	}
	return printRow(cmd.OutOrStdout(), flags.output, &rows[0], waits[rows[0].ID])
}

func oneID(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return cli.Usage(errors.New("want one id: list shows them"))
	}
	return nil
}

// bulk is a command that changes the rows that its arguments or filters choose.
type bulk struct {
	storeFlags
	selection
	consent
	verb string
	// noun names the rows, in the plural.
	noun string
	find func(ctx context.Context, s store.Store, sel *selection) ([]store.Row, error)
	do   func(ctx context.Context, s store.Store, rows []store.Row) error
}

func (b *bulk) run(cmd *cobra.Command, args []string) error {
	if err := b.take(args); err != nil {
		return err
	}
	if b.isEmpty() && !b.all {
		return cli.Usage(fmt.Errorf("which %s? Name ids or a filter, or say --all", b.noun))
	}
	return b.with(cmd.Context(), func(s connect.StoreCloser) error {
		rows, err := b.find(cmd.Context(), s, &b.selection)
		if err != nil {
			return err
		}
		if len(b.filter.IDs) > len(rows) {
			return fmt.Errorf("of the ids %d only %d are %s", b.filter.IDs, len(rows), b.noun)
		}
		if b.dryRun {
			fmt.Fprintf(cmd.ErrOrStderr(), "would %s %d %s\n", b.verb, len(rows), b.noun)
			return printRows(cmd.Context(), cmd.OutOrStdout(), s, b.output, rows)
		}
		if len(rows) == 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "no such %s\n", b.noun)
			return nil
		}
		if len(b.filter.IDs) == 0 {
			ok, err := b.given(cmd, fmt.Sprintf("%s %d %s?", strings.ToUpper(b.verb[:1])+b.verb[1:], len(rows), b.noun))
			if err != nil || !ok {
				return err
			}
		}
		if err := b.do(cmd.Context(), s, rows); err != nil {
			return err
		}
		return b.report(cmd.OutOrStdout(), len(rows))
	})
}

func (b *bulk) report(out io.Writer, n int) error {
	var err error
	if b.output == "json" {
		err = json.NewEncoder(out).Encode(map[string]any{"action": b.verb, "rows": n})
	} else {
		_, err = fmt.Fprintf(out, "%s: %d %s\n", b.verb, n, b.noun)
	}
	return err
}

// command is the cobra command of b, with its flags.
func (b *bulk) command(short, example string) *cobra.Command {
	cmd := &cobra.Command{Use: b.verb + " [ID…] --store URL", Short: short, Example: example, RunE: b.run}
	b.storeFlags.add(cmd)
	b.consent.add(cmd)
	return cmd
}

func deadlettersRetry() *cobra.Command {
	b := &bulk{verb: "retry", noun: "dead letters", find: deadLetters, do: admin.Retry}
	cmd := b.command("Send dead letters back to the subscriptions that gave up on them",
		"  tidings deadletters retry 4711 --store sqlite:shop.db\n  tidings deadletters retry --subscription shop.mailer --error timeout --store postgres://shop@db/shop --yes")
	b.addWithQueue(cmd)
	return cmd
}

func deadlettersDiscard() *cobra.Command {
	var reason string
	b := &bulk{verb: "discard", noun: "dead letters", find: deadLetters}
	b.do = func(ctx context.Context, s store.Store, rows []store.Row) error {
		return admin.Discard(ctx, s, rows, reason)
	}
	cmd := b.command("Take dead letters away; a copy with the reason is kept", "  tidings deadletters discard 4711 --reason \"test order\" --store sqlite:shop.db")
	b.addWithQueue(cmd)
	needReason(cmd, &reason)
	return cmd
}

// needReason adds the flag --reason, without which the command is not run.
func needReason(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why; it is kept")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(*reason) == "" {
			return cli.Usage(errors.New("--reason: say why"))
		}
		return run(cmd, args)
	}
}
