package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/outbox"
)

func relayCommand() *cobra.Command {
	var cfg connect.Config
	var drain time.Duration
	cmd := &cobra.Command{
		Use:   "relay --store URL --broker URL",
		Short: "Publish what services leave in their outbox, apart from them",
		Long: "Publish what services leave in their outbox. Services do so themselves, unless they have Config.NoRelay; run a relay where they come and go or must not talk to the broker.\n" +
			"Several relays, and services, share the work. A signal makes it finish what is on its way and hand its lanes over.",
		Example: "  tidings relay --store postgres://shop@db/shop --broker kafka://one:9092,two:9092",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Store == "" || cfg.Broker == "" {
				return cli.Usage(errors.New("--store and --broker: name both"))
			}
			return relay(cmd, cfg, drain)
		},
	}
	cmd.Flags().StringVar(&cfg.Store, "store", "", "the store's URL")
	cmd.Flags().StringVar(&cfg.Broker, "broker", "", "the broker's URL")
	cmd.Flags().DurationVar(&drain, "drain", time.Second, "how long to wait at the end for what is on its way")
	return cmd
}

func relay(cmd *cobra.Command, cfg connect.Config, drain time.Duration) (err error) {
	ctx := cmd.Context()
	cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	cfg.Attach = true
	c, err := connect.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err = c.Store.Migrate(ctx); err != nil {
		return err
	}
	var stats outbox.Stats
	fmt.Fprintln(cmd.ErrOrStderr(), "relaying until a signal")
	err = outbox.Run(ctx, c.Store, c.Broker, outbox.Config{Stop: drain, Stats: &stats, Log: cfg.Log})
	fmt.Fprintf(cmd.ErrOrStderr(), "published %d, failed and tried again %d, parked %d\n", stats.Published.Load(), stats.Failed.Load(), stats.Parked.Load())
	return err
}
