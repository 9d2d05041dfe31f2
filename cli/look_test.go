package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
)

// tools are the commands as cmd/tidings has them.
func (s *shop) tools() *cobra.Command {
	root := &cobra.Command{Use: "tidings", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(cli.Tools()...)
	return root
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.json")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, b broker.Broker, _ string) {
		t.Helper()
		s := newShop(t, b)
		orders := s.topic("orders")
		a := s.app(broker.Topic{Name: orders, Partitions: 1})
		if r := s.call(a, "topics", "apply"); r.code != 0 {
			t.Fatal(r.status)
		}
		s.publish(orders, "shop.OrderPlaced.v1", 5, "a")
		defer s.read(s.name+".mailer", orders, 3)()
		s.call(a, "subscriptions", "-o", "json").golden(t, "subscriptions.json", 0)
		if r := s.call(a, "subscriptions"); r.code != 0 || !strings.Contains(r.out, "shop.mailer  1        2    ") || !strings.Contains(r.out, "shop.stock   0        5    0s") {
			t.Errorf("exit %d\n%s", r.code, r.out)
		}
	})
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, b broker.Broker, _ string) {
		t.Helper()
		s := newShop(t, b)
		orders, counts := s.topic("orders"), s.topic("counts")
		a := s.app(broker.Topic{Name: orders, Partitions: 1})
		s.call(a, "doctor").golden(t, "doctor-new.txt", 1)
		if r := s.call(a, "topics", "apply"); r.code != 0 {
			t.Fatal(r.status)
		}
		s.publish(orders, "shop.OrderPlaced.v1", 3, "a")
		s.publish(counts, "shop.StockCounted.v1", 1, "")
		s.appendRow()
		s.deadLetter(s.name + ".mailer")
		s.read(s.name+".former", orders, 1)()
		s.read(s.name+".mailer", orders, 3)()
		stop := s.read(s.name+".stock", orders, 1)
		s.awaitMembers(orders, 1)
		ill := s.app(broker.Topic{Name: orders, Partitions: 2})
		s.call(ill, "doctor", "--max-lag", "1ns", "--max-outbox", "1ns").golden(t, "doctor-ill.txt", 1)
		stop()
		s.awaitMembers(orders, 0)
		r := s.call(a, "doctor", "-o", "json")
		if r.code != 1 || !strings.Contains(r.out, `"2 messages are not handled`) || !strings.Contains(r.out, "and nobody reads") {
			t.Errorf("exit %d\n%s", r.code, r.out)
		}

		healthy := newShop(t, b)
		a = healthy.app()
		if r := healthy.call(a, "topics", "apply"); r.code != 0 {
			t.Fatal(r.status)
		}
		for topic, events := range map[string][]string{healthy.topic("orders"): {"OrderPlaced", "OrderShipped"}, healthy.topic("counts"): {"StockCounted"}} {
			for _, e := range events {
				healthy.publish(topic, "shop."+e+".v1", 1, "a")
			}
		}
		healthy.runOnce(t)
		healthy.call(a, "doctor").golden(t, "doctor-well.txt", 0)
	})
}

// runOnce lets the service handle everything that there is.
func (s *shop) runOnce(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	a := s.app()
	go func() { ended <- s.run(ctx, cli.Command(a), "run") }()
	testenv.Eventually(t, time.Minute, func() error {
		states, err := a.Topics(t.Context())
		for i := range states {
			for group, lag := range states[i].Lag {
				if lag > 0 {
					return errLag(group)
				}
			}
		}
		return err
	})
	stop()
	if r := <-ended; r.code != 0 {
		t.Errorf("run: exit %d, %s", r.code, r.status)
	}
}

type errLag string

func (e errLag) Error() string { return string(e) + " is behind" }

func (s *shop) awaitMembers(topic string, n int) {
	s.t.Helper()
	testenv.Eventually(s.t, time.Minute, func() error {
		states, err := s.broker.Topics(s.t.Context(), broker.Survey, broker.Topic{Name: topic})
		if err != nil {
			return err
		}
		members := 0
		for _, r := range states[0].Readers {
			members += r.Members
		}
		if members != n {
			return errLag(topic)
		}
		return nil
	})
}

func (s *shop) deadLetter(group string) {
	s.t.Helper()
	err := s.store.InTx(s.t.Context(), func(ctx context.Context, tx store.Native) error {
		return tx.StoreTx().Append(ctx, store.Row{Queue: group, State: store.Dead, Source: "/shop", MessageID: "1", Record: broker.Record{Topic: s.topic("orders")}})
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, b broker.Broker, _ string) {
		t.Helper()
		s := newShop(t, b)
		orders := s.topic("orders")
		a := s.app(broker.Topic{Name: orders, Partitions: 1}, broker.Topic{Name: s.topic("counts"), Partitions: 1})
		if r := s.call(a, "topics", "apply"); r.code != 0 {
			t.Fatal(r.status)
		}
		s.publish(orders, "shop.OrderPlaced.v1", 4, "a", "b c")
		s.publish(orders, "shop.OrderShipped.v1", 1, "a")
		s.store1([]broker.Record{{Topic: orders, Key: "a", Value: []byte("no event\n")}, {Topic: orders, Value: []byte{0xff, 0}}})

		s.call(a, "tail", "--topic", orders, "--from", "earliest", "--follow=false").golden(t, "tail.txt", 0)
		s.call(a, "tail", "--topic", orders, "--from", "earliest", "--follow=false", "-o", "json").golden(t, "tail.json", 0)
		s.call(a, "tail", "OrderShipped", "--from", "1", "--follow=false").golden(t, "tail-event.txt", 0)
		s.call(a, "tail", "shop.OrderPlaced.v1", "--from", "1h", "--key", "b c", "--limit", "1").golden(t, "tail-limit.txt", 0)
		s.call(a, "tail", "OrderPlaced", "--from", s.sequence(3), "--follow=false").golden(t, "tail-sequence.txt", 0)
		if r := s.call(a, "tail", "OrderPlaced", "--from", "2099-01-01T00:00:00Z", "--follow=false"); r.code != 0 || r.out != "" {
			t.Errorf("exit %d, %q, %s", r.code, r.out, r.status)
		}
		if r := s.call(a, "tail", "OrderPlaced", "--follow=false"); r.code != 0 || r.out != "" {
			t.Errorf("exit %d, %q, %s", r.code, r.out, r.status)
		}
		states, err := b.Topics(t.Context(), broker.Survey, broker.Topic{Name: orders})
		if err != nil || len(states[0].Readers) != 0 {
			t.Errorf("tail has left traces: %+v, %v", states, err)
		}
		s.follow(t)
	})
}

// follow reads what comes after it has begun, until it is interrupted.
func (s *shop) follow(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	a := s.app()
	ended := make(chan result, 1)
	go func() { ended <- s.run(ctx, cli.Command(a), "tail", "StockCounted", "--limit", "1") }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		s.publish(s.topic("counts"), "shop.StockCounted.v1", 1, strings.Repeat("x", n)) // until it has begun, it sees nothing
		select {
		case r := <-ended:
			if r.code != 0 || !strings.Contains(r.out, "shop.StockCounted.v1") || strings.Count(r.out, "\n") != 1 {
				t.Errorf("exit %d, %q, %s", r.code, r.out, r.status)
			}
			return
		case <-tick.C:
		}
	}
}
