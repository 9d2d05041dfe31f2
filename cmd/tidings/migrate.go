package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/connect"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Make or check tidings' tables; services do so themselves when they start",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		migrateStep("up", "Bring the tables to the version that this program knows", func(cmd *cobra.Command, flags *storeFlags, s connect.StoreCloser) error {
			if err := s.Migrate(cmd.Context()); err != nil {
				return err
			}
			return printVersion(cmd, flags, s)
		}),
		migrateStep("status", "Say which version the tables have; exit 1 when it is not the newest", printVersion),
		migrateStep("print", "Print the SQL that makes the tables, for teams that run it themselves", func(cmd *cobra.Command, _ *storeFlags, s connect.StoreCloser) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), s.Script())
			return err
		}),
	)
	return cmd
}

func migrateStep(verb, short string, run func(cmd *cobra.Command, flags *storeFlags, s connect.StoreCloser) error) *cobra.Command {
	flags := storeFlags{mayBeNew: true}
	cmd := &cobra.Command{
		Use:     verb + " --store URL",
		Short:   short,
		Example: "  tidings migrate " + verb + " --store sqlite:shop.db",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd.Context(), func(s connect.StoreCloser) error { return run(cmd, &flags, s) })
		},
	}
	flags.add(cmd)
	return cmd
}

// printVersion prints the version of the tables. It is an error if that is not the newest.
func printVersion(cmd *cobra.Command, flags *storeFlags, s connect.StoreCloser) error {
	status, err := s.Status(cmd.Context())
	if err != nil {
		return err
	}
	if flags.output == "json" {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]int{"version": status.Version, "latest": status.Latest})
	} else {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "version %d of %d\n", status.Version, status.Latest)
	}
	if err == nil && status.Version != status.Latest {
		return cli.ErrWrong
	}
	return err
}
