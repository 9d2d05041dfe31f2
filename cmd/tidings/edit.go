package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/store"
)

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
			return c, cli.Usage(fmt.Errorf("--header %q: want NAME=VALUE", h))
		}
		c.Headers = append(c.Headers, broker.Header{Name: strings.ToLower(name), Value: value})
	}
	if c.Data == nil && len(c.Headers) == 0 {
		return c, cli.Usage(errors.New("nothing is to be changed: say --data or --header"))
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
		return printRow(cmd.OutOrStdout(), flags.output, &planned, admin.Waiting{})
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
