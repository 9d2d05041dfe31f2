package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/store"
)

func deadlettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "Look at what subscriptions gave up on; retry, edit or discard it",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(deadlettersList(), deadlettersShow(), deadlettersRetry(), deadlettersEdit(), deadlettersDiscard())
	return cmd
}

// deadLetters are the dead rows of subscriptions that a call means: those of the outbox have commands of their own.
func deadLetters(ctx context.Context, s store.Store, sel *selection) ([]store.Row, error) {
	f := sel.filter
	f.States = []store.State{store.Dead}
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
		if r.Queue != "" && (sel.filter.Limit == 0 || len(letters) < sel.filter.Limit) {
			letters = append(letters, r)
		}
	}
	return letters, nil
}

func deadlettersList() *cobra.Command {
	var flags storeFlags
	var sel selection
	cmd := &cobra.Command{
		Use:     "list --store URL",
		Short:   "List dead letters",
		Example: "  tidings deadletters list --store sqlite:shop.db --subscription shop.mailer --error timeout",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd.Context(), func(s connect.StoreCloser) error {
				rows, err := deadLetters(cmd.Context(), s, &sel)
				if err != nil {
					return err
				}
				return printRows(cmd.OutOrStdout(), flags.output, rows)
			})
		},
	}
	flags.add(cmd)
	sel.addWithQueue(cmd)
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
		Short:   "Show all of a dead letter: attributes, history, payload",
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
	return printRow(cmd.OutOrStdout(), flags.output, &rows[0])
}

func oneID(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return usageError{errors.New("want one id: list shows them")}
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
		return usageError{fmt.Errorf("which %s? Name ids or a filter, or say --all", b.noun)}
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
			return printRows(cmd.OutOrStdout(), b.output, rows)
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
			return usageError{errors.New("--reason: say why")}
		}
		return run(cmd, args)
	}
}

func deadlettersEdit() *cobra.Command {
	var flags storeFlags
	var data string
	var headers []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "edit ID --store URL [--data FILE|-] [--header NAME=VALUE]…",
		Short: "Send a changed message in place of a dead letter",
		Long: "Send a changed message in place of a dead letter to the subscription that gave up on it. The changed message has a new id, derived from the\n" +
			"dead letter and the change, so that the same edit is one message however often it is submitted, and names the old one as its cause.",
		Example: "  tidings deadletters edit 4711 --data fixed.json --store sqlite:shop.db\n  tidings deadletters edit 4711 --header ce-subject=42 --dry-run --store sqlite:shop.db",
		Args:    oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := changeOf(cmd.InOrStdin(), data, headers)
			if err != nil {
				return err
			}
			return flags.with(cmd.Context(), func(s connect.StoreCloser) error { return edit(cmd, &flags, s, args, change, dryRun) })
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&data, "data", "", "file with the new payload, - for standard input")
	cmd.Flags().StringArrayVar(&headers, "header", nil, "attribute (ce-subject=42) or header to set; without a value it is taken away")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show the changed message, and send nothing")
	return cmd
}

func changeOf(stdin io.Reader, data string, headers []string) (c admin.Change, err error) {
	switch data {
	case "":
	case "-":
		c.Data, err = io.ReadAll(stdin)
	default:
		c.Data, err = os.ReadFile(data) //nolint:gosec // the file that the user named
	}
	if err != nil {
		return c, fmt.Errorf("read the payload: %w", err)
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return c, usageError{fmt.Errorf("--header %q: want NAME=VALUE", h)}
		}
		c.Headers = append(c.Headers, broker.Header{Name: strings.ToLower(name), Value: value})
	}
	if c.Data == nil && len(c.Headers) == 0 {
		return c, usageError{errors.New("nothing is to be changed: say --data or --header")}
	}
	return c, nil
}

func edit(cmd *cobra.Command, flags *storeFlags, s store.Store, args []string, change admin.Change, dryRun bool) error { //nolint:revive // the flag of the command line
	var sel selection
	if err := sel.take(args); err != nil {
		return err
	}
	rows, err := deadLetters(cmd.Context(), s, &sel)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("row %s is no dead letter of a subscription", args[0])
	}
	if dryRun {
		planned, failed := admin.Edited(&rows[0], change)
		if failed != nil {
			return failed
		}
		return printRow(cmd.OutOrStdout(), flags.output, &planned)
	}
	edited, err := admin.Edit(cmd.Context(), s, &rows[0], change)
	if err != nil {
		return err
	}
	if flags.output == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"action": "edit", "message_id": edited.MessageID})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "edit: sent as message %s\n", edited.MessageID)
	return err
}
