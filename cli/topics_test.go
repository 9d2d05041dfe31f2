package cli_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
)

func TestTopics(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, b broker.Broker, name string) {
		t.Helper()
		s := newShop(t, b)
		orders, counts := s.topic("orders"), s.topic("counts")
		first := s.app(broker.Topic{Name: orders, Partitions: 2, Retention: 48 * time.Hour}, broker.Topic{Name: counts, Partitions: 1})
		s.call(first, "topics", "check").golden(t, "check-missing.txt", 1)
		s.call(first, "topics", "plan").golden(t, "plan-new.txt", 100)
		s.call(first, "topics", "plan", "-o", "json").golden(t, "plan-new.json", 100)
		s.call(first, "topics", "apply").golden(t, "apply-new.txt", 0)
		s.call(first, "topics", "plan").golden(t, "plan-none.txt", 0)
		s.call(first, "topics", "check").golden(t, "check-ok.txt", 0)

		second := s.app(
			broker.Topic{Name: orders, Partitions: 3, Retention: 24 * time.Hour, MaxBytes: 64 << 20},
			broker.Topic{Name: counts, External: true, Partitions: 2},
		)
		s.call(second, "topics", "check").golden(t, "check-different.txt", 1)
		s.call(second, "topics", "check", "-o", "json").golden(t, "check-different.json", 1)
		s.call(second, "topics", "plan").golden(t, "plan-change.txt", 100)
		s.call(second, "topics", "apply").golden(t, "apply-undrained.txt", 1)
		s.call(second, "topics", "check").golden(t, "check-half.txt", 1)

		// Nothing is on its way: the partitions can be changed, where the broker can.
		r := s.call(second, "topics", "apply", "--drain")
		if fixed[name] {
			r.golden(t, "apply-drained-fixed.txt", 1)
			return
		}
		r.golden(t, "apply-drained.txt", 1) // the external topic is still not ours
		fewer := s.app(broker.Topic{Name: orders, Partitions: 1}, broker.Topic{Name: counts, Partitions: 1})
		s.call(fewer, "topics", "apply", "--drain").golden(t, "apply-fewer.txt", 1)
	})
}

// fixed are the brokers whose topics keep the partitions that they began with.
var fixed = map[string]bool{"nats": true, "redis": true}

// apply --drain waits for the outbox, for what is not settled, and for those who read.
func TestDrainWaits(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, b broker.Broker, name string) {
		t.Helper()
		if fixed[name] {
			return
		}
		s := newShop(t, b)
		orders := s.topic("orders")
		if r := s.call(s.app(broker.Topic{Name: orders, Partitions: 1}), "topics", "apply"); r.code != 0 {
			t.Fatal(r.status)
		}
		want := s.app(broker.Topic{Name: orders, Partitions: 2})
		s.publish(orders, "shop.OrderPlaced.v1", 2, "a")
		row := s.appendRow()
		stop := s.read(s.name+".mailer", orders, 1)
		again := func(reason string) {
			t.Helper()
			var r result
			for _, wait := range []string{"2s", "30s"} { // a busy broker may need more than two seconds to say anything
				r = s.call(want, "topics", "apply", "--drain", "--wait", wait)
				if r.code == 1 && strings.Contains(r.status, "nothing was changed") && strings.Contains(r.status, reason) {
					return
				}
			}
			t.Errorf("exit %d, want one that waits for %q\n%s%s", r.code, reason, r.out, r.status)
		}
		again("waiting: 1 rows in the outbox, 1 messages to settle, groups that read: shop.mailer")
		s.deleteRow(row)
		again("waiting: 0 rows in the outbox, 1 messages to settle")
		stop()
		stop = s.read(s.name+".mailer", orders, 2)
		again("stop the service now, these groups still read: shop.mailer")
		stop()
		if r := s.call(want, "topics", "apply", "--drain"); r.code != 0 || !strings.Contains(r.out, "drain "+strings.ReplaceAll(orders, s.name, "shop")+": done") {
			t.Errorf("exit %d\n%s%s", r.code, r.out, r.status)
		}
		states, err := b.Topics(t.Context(), broker.Inspect, broker.Topic{Name: orders})
		if err != nil || states[0].Partitions != 2 || states[0].Messages != 2 {
			t.Errorf("%+v, %v", states, err)
		}
	})
}

// appendRow puts a row into the outbox.
func (s *shop) appendRow() int64 {
	s.t.Helper()
	if err := s.store.Migrate(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	err := s.store.InTx(s.t.Context(), func(ctx context.Context, tx store.Native) error {
		return tx.StoreTx().Append(ctx, store.Row{Record: broker.Record{Topic: s.topic("orders"), Key: "a", Value: []byte("{}")}})
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for row, err := range s.store.List(s.t.Context(), store.Filter{Queues: []string{""}}) {
		if err != nil {
			s.t.Fatal(err)
		}
		return row.ID
	}
	s.t.Fatal("the row is not there")
	return 0
}

func (s *shop) deleteRow(id int64) {
	s.t.Helper()
	err := s.store.InTx(s.t.Context(), func(ctx context.Context, tx store.Native) error {
		_, err := tx.StoreTx().Move(ctx, store.Gone, id)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// The tools do the same without the binary, on the manifest that it wrote.
func TestManifest(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	s := newShop(t, nil)
	a := s.app(broker.Topic{Name: s.topic("orders"), Partitions: 2, Retention: 48 * time.Hour}, broker.Topic{Name: s.topic("counts"), Partitions: 1})
	r := s.call(a, "manifest")
	r.golden(t, "manifest.json", 0)
	file := writeFile(t, strings.ReplaceAll(r.out, `"shop.shop`, `"`+s.name+`.shop`))
	tool := func(args ...string) result { return s.run(t.Context(), s.tools(), append(args, "--manifest", file)...) }
	tool("topics", "plan", "--broker", url).golden(t, "plan-new.txt", 100)
	tool("topics", "apply", "--broker", url).golden(t, "apply-new.txt", 0)
	tool("topics", "check", "--broker", url).golden(t, "check-ok.txt", 0)
	if r := tool("topics", "check"); r.code != 2 || !strings.Contains(r.status, "--broker") {
		t.Errorf("without a broker: exit %d, %s", r.code, r.status)
	}
	if r := s.run(t.Context(), s.tools(), "doctor", "--broker", url); r.code != 2 || !strings.Contains(r.status, "--manifest") {
		t.Errorf("without a manifest: exit %d, %s", r.code, r.status)
	}
	for content, want := range map[string]string{"{}": "names no service", "nonsense": "invalid character", `{"service":"x","colour":"red"}`: "unknown field"} {
		r := s.run(t.Context(), s.tools(), "subscriptions", "--broker", url, "--manifest", writeFile(t, content))
		if r.code != 1 || !strings.Contains(r.status, want) || !strings.Contains(r.status, "write it anew") {
			t.Errorf("a manifest %s: exit %d, %s", content, r.code, r.status)
		}
	}
}

func TestCallsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for _, args := range [][]string{
		{"topics", "nonsense"},
		{"topics", "plan", "--nonsense"},
		{"topics", "plan", "-o", "xml"},
		{"topics", "apply", "-o", "xml"},
		{"topics", "check", "x"},
		{"doctor", "-o", "xml"},
		{"subscriptions", "-o", "xml"},
		{"tail", "-o", "xml"},
		{"tail", "--broker", "memory:"},
		{"tail", "--broker", "memory:", "Unheard"},
		{"tail", "--broker", "memory:", "--topic", "x", "--from", "yesterday"},
		{"tail", "--broker", "memory:", "--topic", "x", "--limit", "-1"},
	} {
		if r := s.run(t.Context(), s.tools(), args...); r.code != 2 || r.status == "" || r.out != "" {
			t.Errorf("%s: exit %d, %q, %q", strings.Join(args, " "), r.code, r.out, r.status)
		}
	}
	if r := s.call(s.app(), "topics", "plan"); r.code != 1 || !strings.Contains(r.status, "Config.Broker") {
		t.Errorf("an app without a broker: exit %d, %s", r.code, r.status)
	}
	if r := s.run(t.Context(), s.tools(), "tail", "--broker", "http://x", "--topic", "x"); r.code != 1 || !strings.Contains(r.status, "unknown scheme") {
		t.Errorf("exit %d, %s", r.code, r.status)
	}
}
