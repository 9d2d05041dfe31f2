// Package program is what the example programs have in common and nobody reads an example for: the end of a process, flags of a load, a web server around the
// handlers, the poster of requests, and the reading back of what is in brokers and stores.
//
// What an example shows is in the example: how an app is made, wired and asked.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/tidings-go/tidings"
)

// Main parses the arguments and runs a program until Ctrl-C or SIGTERM. When it ends with an error, so does the process, and says so.
func Main[Options any](name string, parse func(args []string) (Options, error), run func(ctx context.Context, o Options, out io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, o, os.Stdout)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Folder is the absolute path of the folder for what is embedded: data, or a temporary one if that is empty, which cleanUp removes. Where nothing is needed it is empty.
func Folder(name, data string, needed bool) (dir string, cleanUp func(), err error) {
	switch {
	case !needed:
		return "", func() {}, nil
	case data != "":
		dir, err = filepath.Abs(data)
		return dir, func() {}, err
	}
	dir, err = os.MkdirTemp("", name+"-")
	return dir, func() { _ = os.RemoveAll(dir) }, err // what stays is the system's to clean up
}

// During runs apps (App.Run), calls work when all of them have started (App.Ready), and ends them when work has ended. When one of them ends before, so does everything.
func During(ctx context.Context, work func(ctx context.Context) error, apps ...*tidings.App) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, len(apps))
	for _, app := range apps {
		go func() {
			err := app.Run(running)
			stop()
			cancel(err)
			ended <- err
		}()
	}
	err := whenReady(ctx, work, apps)
	stop()
	for range apps {
		err = errors.Join(err, <-ended)
	}
	return err
}

func whenReady(ctx context.Context, work func(ctx context.Context) error, apps []*tidings.App) error {
	for _, app := range apps {
		select {
		case <-app.Ready():
		case <-ctx.Done():
			return nil
		}
	}
	return work(ctx)
}
