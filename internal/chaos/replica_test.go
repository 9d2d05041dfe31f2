//go:build unix

package chaos_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
	"github.com/tidings-go/tidings/broker/nats"
)

// step is the event of these tests: N counts the messages of a key.
type step struct {
	Key string `json:"key" tidings:"key"`
	N   int    `json:"n"`
}

// TestMain makes this binary a replica when it is called with that argument.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "replica" && os.Args[1] != "holder" {
		os.Exit(m.Run())
	}
	var err error
	if args := os.Args[2:]; os.Args[1] == "holder" {
		err = holder(args[0], args[1], args[2], args[3], args[4])
	} else {
		err = replica(args[0], args[1], args[2], args[3] == "unordered")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "replica:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// replica is one process of a service. It tells the referee of each message, and handles it only when the referee has answered, so that the
// referee knows the order in which things happened over all processes.
func replica(url, service, referee string, unordered bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	b, closeBroker, err := open(ctx, url)
	if err != nil {
		return err
	}
	defer closeBroker()
	calls := make(chan call)
	for range 16 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", referee)
		if err != nil {
			return err
		}
		go report(conn, calls)
	}
	app, event := build(b, service)
	app.Subscribe(tidings.Subscription{Name: "steps", Concurrency: 16, Unordered: unordered}, tidings.On(event, func(ctx context.Context, s step) error {
		answer := make(chan error, 1)
		select {
		case calls <- call{s, answer}:
			return <-answer
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
	return app.Run(ctx)
}

type call struct {
	step   step
	answer chan error
}

// report sends calls over one connection, one at a time.
func report(conn net.Conn, calls <-chan call) {
	answers := bufio.NewReader(conn)
	for c := range calls {
		_, err := fmt.Fprintf(conn, "%s %d\n", c.step.Key, c.step.N)
		if err == nil {
			_, err = answers.ReadString('\n')
		}
		c.answer <- err
	}
}

// open opens the broker that a URL means, and returns what closes it.
func open(ctx context.Context, url string) (broker.Broker, func() error, error) {
	quiet := slog.New(slog.DiscardHandler)
	if seeds, ok := strings.CutPrefix(url, "kafka://"); ok {
		b, err := kafka.Open(ctx, strings.Split(seeds, ","), kafka.Config{Partitions: 6, SessionTimeout: 6 * time.Second, Log: quiet})
		if err != nil {
			return nil, nil, err
		}
		return b, b.Close, nil
	}
	b, err := nats.Open(ctx, url, nats.Config{Partitions: 6, LeaseTTL: 2 * time.Second, Log: quiet})
	if err != nil {
		return nil, nil, err
	}
	return b, b.Close, nil
}

// build is the app of all processes: the event and its topic.
func build(b broker.Broker, service string) (*tidings.App, *tidings.Event[step]) {
	event := tidings.Define[step](service, "Stepped", "v1")
	app := tidings.New(tidings.Config{Service: service, Broker: b, Stop: 5 * time.Second, Log: slog.New(slog.DiscardHandler)})
	app.Emits(event)
	return app, event
}

// process starts a replica.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return command(t, append([]string{"replica"}, args...)...)
}

// command starts this binary with arguments that TestMain knows.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}
