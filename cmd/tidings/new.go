package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/internal/scaffold"
)

const module = "github.com/tidings-go/tidings"

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Write code: a service, an event, a handler",
		Long: `Write code that a team begins with. It compiles, has a test, and is yours to change.

What is there already is left alone: calling a command twice changes nothing, and a file that somebody has changed is never overwritten.
Only the list in wire.go gets lines added.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newService(), newEvent(), newHandler())
	return cmd
}

func newService() *cobra.Command {
	var s scaffold.Service
	cmd := &cobra.Command{
		Use:   "service NAME",
		Short: "Write a service that runs, in a folder and Go module of its own",
		Long: `Write a service that runs, in a folder and Go module of its own.

The module requires the release of tidings that this command is from. A command that was built from a checkout has no release: then the module has
a replace directive to the checkout, or to the folder that --replace names.`,
		Example: "  tidings new service shop --module github.com/acme/shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usage(errors.New("new service: want one name, such as shop"))
			}
			s.Name = args[0]
			if err := findTidings(&s); err != nil {
				return err
			}
			plan, err := scaffold.NewService(s)
			if err != nil {
				return cli.Usage(err)
			}
			plan.Hints = []string{"cd " + plan.Dir}
			if _, err = exec.LookPath("tidings"); err != nil {
				plan.Hints = append(plan.Hints, "go install "+module+"/cmd/tidings")
			}
			plan.Hints = append(plan.Hints,
				"tidings new event "+s.Name+" OrderPlaced order_id:string:key amount:int64",
				"tidings new handler mailer OrderPlaced",
				"go run .",
			)
			return write(cmd, plan)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.Dir, "dir", "", "the folder (default: NAME)")
	flags.StringVar(&s.Module, "module", "", "the Go module's path (default: example.com/NAME)")
	flags.StringVar(&s.Replace, "replace", "", "use tidings' source in this folder, in place of a release")
	return cmd
}

func newEvent() *cobra.Command {
	var dir string
	var e scaffold.Event
	cmd := &cobra.Command{
		Use:   "event DOMAIN NAME FIELD:TYPE…",
		Short: "Write an event, or its next version, with a test",
		Long: `Write an event, or its next version, with a test, and add it to what the service publishes.

A field is NAME:TYPE. Types are string, int, int64, float64, bool, uuid, time, and lists such as []string. NAME:TYPE:key makes it a part of the key, by
which messages are ordered; NAME:TYPE:subject makes it what the message is about, where that is not the key.

--version v2 evolves from the newest older version: messages of that are read as v2, and you fill in how. Name all fields of the new version.`,
		Example: `  tidings new event shop OrderPlaced order_id:uuid:key amount:int64
  tidings new event shop OrderPlaced --version v2 order_id:uuid:key amount:int64 currency:string`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return cli.Usage(errors.New("new event: want a domain, a name and fields, such as shop OrderPlaced order_id:uuid:key"))
			}
			e.Domain, e.Name, e.Fields = args[0], args[1], args[2:]
			plan, err := scaffold.NewEvent(dir, e)
			if err != nil {
				return cli.Usage(err)
			}
			return write(cmd, plan)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", ".", "the service's folder")
	flags.StringVar(&e.Version, "version", "v1", "the version")
	flags.BoolVar(&e.Internal, "internal", false, "for this service only: other services can't subscribe")
	return cmd
}

func newHandler() *cobra.Command {
	var dir string
	var h scaffold.Handler
	cmd := &cobra.Command{
		Use:     "handler SUBSCRIPTION EVENT",
		Short:   "Write a handler of an event, with a test",
		Long:    "Write a handler of an event of this service, with a test, and add it to a subscription, which is made if it is not there.",
		Example: "  tidings new handler mailer OrderPlaced\n  tidings new handler ledger OrderPlaced --tx",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return cli.Usage(errors.New("new handler: want a subscription and an event, such as mailer OrderPlaced"))
			}
			h.Subscription, h.Event = args[0], args[1]
			plan, err := scaffold.NewHandler(dir, h)
			if err != nil {
				return cli.Usage(err)
			}
			return write(cmd, plan)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", ".", "the service's folder")
	flags.StringVar(&h.Version, "version", "", "the event's version (default: the newest)")
	flags.BoolVar(&h.Tx, "tx", false, "handle each message in a transaction, so that its effect happens once")
	return cmd
}

// write writes a plan, brings go.mod up to date, and says what was done and what may be done next.
func write(cmd *cobra.Command, plan *scaffold.Plan) error {
	if err := plan.Write(); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	for _, f := range plan.Files {
		fmt.Fprintf(out, "%-10s %s\n", f.State, filepath.Join(plan.Dir, filepath.FromSlash(f.Path)))
	}
	if plan.Empty() {
		fmt.Fprintln(out, "All of it was there already; nothing was changed.")
		return nil
	}
	tidy := exec.CommandContext(cmd.Context(), "go", "mod", "tidy")
	tidy.Dir = plan.Dir
	if output, err := tidy.CombinedOutput(); err != nil {
		return fmt.Errorf("everything is written, but 'go mod tidy' failed in %s; run it again when that is mended: %w\n%s", plan.Dir, err, output)
	}
	fmt.Fprintln(out, "\nNext:")
	for _, hint := range plan.Hints {
		fmt.Fprintln(out, "  "+hint)
	}
	return nil
}

// findTidings says which tidings the service's module requires: the release that this program is from, or the checkout that it was built from.
func findTidings(s *scaffold.Service) error {
	if s.Replace == "" {
		if s.Version = release(); s.Version != "" {
			return nil
		}
		_, file, _, _ := runtime.Caller(0)
		s.Replace = filepath.Join(filepath.Dir(file), "..", "..")
	}
	dir, err := filepath.Abs(s.Replace)
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "tidingstest"))
	}
	if err != nil {
		return cli.Usage(fmt.Errorf("this program is from no release of tidings: name the folder with tidings' source with --replace: %w", err))
	}
	s.Replace = dir
	return nil
}

// release is the version of tidings in this program; empty if it was built from a checkout.
func release() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module && cmp.Or(m.Replace, m).Sum != "" { // only what was downloaded has one
			return m.Version
		}
	}
	return ""
}
