package cli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	storememory "github.com/tidings-go/tidings/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type OrderPlaced struct {
	OrderID string `json:"order_id" tidings:"key"`
	Total   int    `json:"total"`
}

type StockCounted struct {
	Items int `json:"items"`
}

var (
	placed  = tidings.Define[OrderPlaced]("shop", "OrderPlaced", "v1", tidings.Entity("order"))
	shipped = tidings.Define[OrderPlaced]("shop", "OrderShipped", "v1", tidings.Entity("order"))
	counted = tidings.Define[StockCounted]("shop", "StockCounted", "v1", tidings.Entity("count"))
)

// shop is a service with a name of its own.
type shop struct {
	t      *testing.T
	broker broker.Broker
	store  store.Store
	name   string
}

func newShop(t *testing.T, b broker.Broker) *shop {
	t.Helper()
	return &shop{t: t, broker: b, store: storememory.New(), name: "shop-" + strings.ToLower(rand.Text()[:10])}
}

func (s *shop) topic(entity string) string { return s.name + ".shop.public." + entity + ".v1" }

// app is the service, with these settings of its topics.
func (s *shop) app(topics ...broker.Topic) *tidings.App {
	a := tidings.New(tidings.Config{
		Service: s.name, Owns: []string{"shop"}, Broker: s.broker, Store: s.store, Topology: tidings.Scoped{Env: s.name}, Topics: topics,
		Log: slog.New(slog.DiscardHandler),
	})
	a.Emits(placed, shipped, counted)
	nothing := func(context.Context, OrderPlaced) error { return nil }
	a.Subscribe(tidings.Subscription{Name: "mailer"}, tidings.On(placed, nothing))
	a.Subscribe(tidings.Subscription{Name: "stock"}, tidings.On(placed, nothing), tidings.On(shipped, nothing))
	return a
}

// result is what a command left.
type result struct {
	code        int
	out, status string
}

// call runs a command of the service's binary.
func (s *shop) call(a *tidings.App, args ...string) result {
	s.t.Helper()
	return s.run(s.t.Context(), cli.Command(a), args...)
}

func (s *shop) run(ctx context.Context, cmd *cobra.Command, args ...string) result {
	var out, status bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&status)
	err := cmd.ExecuteContext(ctx)
	code := cli.Report(&status, "shop", err)
	return result{code, s.plain(out.String()), s.plain(status.String())}
}

var times = regexp.MustCompile(`20[0-9-]{8}T[0-9:.]+Z|(behind_seconds": |the oldest is )[0-9.ms]+`)

// plain is a text without what is different in each run.
func (s *shop) plain(text string) string {
	text = strings.ReplaceAll(text, s.name, "shop")
	return times.ReplaceAllStringFunc(text, func(found string) string {
		switch before, isAge := strings.CutSuffix(found, strings.TrimLeft(found, "abcdefghijklmnopqrstuvwxyz_\": ")); {
		case strings.HasPrefix(found, "2026-03-01T12:00:00"):
			return found
		case isAge && before != "":
			return before + "…"
		}
		return "…"
	})
}

// golden compares with a file in testdata.
func (r result) golden(t *testing.T, file string, code int) {
	t.Helper()
	if r.code != code {
		t.Errorf("%s: exit %d, want %d\n%s%s", file, r.code, code, r.out, r.status)
	}
	path := filepath.Join("testdata", file)
	if testenv.Update() {
		if err := os.WriteFile(path, []byte(r.out), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if r.out != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s\n%s", file, r.out, want, r.status)
	}
}

// onEachBroker runs a test on memory, NATS and Kafka.
func onEachBroker(t *testing.T, test func(t *testing.T, b broker.Broker, name string)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		b := memory.New(memory.Config{})
		t.Cleanup(func() { _ = b.Close() })
		test(t, b, "memory")
	})
	for name, url := range map[string]func(testing.TB) string{"nats": testenv.NATS, "kafka": testenv.Kafka} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := connect.Broker(t.Context(), url(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			test(t, b, name)
		})
	}
}

// publish stores events whose attributes are the same in each run, keys in turn.
func (s *shop) publish(topic, event string, n int, keys ...string) {
	s.t.Helper()
	records := make([]broker.Record, n)
	for i := range records {
		id := fmt.Sprintf("0198c0de-0000-7000-8000-%012d", i+1)
		key := keys[i%len(keys)]
		records[i] = broker.Record{Topic: topic, Key: key, ID: event + id + key, Value: fmt.Appendf(nil, `{"order_id": %q, "total": %d}`, key, i+1), Headers: []broker.Header{
			{Name: "ce-specversion", Value: "1.0"},
			{Name: "ce-id", Value: id},
			{Name: "ce-source", Value: "/shop"},
			{Name: "ce-type", Value: event},
			{Name: "ce-time", Value: "2026-03-01T12:00:00Z"},
			{Name: "ce-partitionkey", Value: key},
			{Name: "content-type", Value: "application/json"},
		}}
	}
	s.store1(records)
}

func (s *shop) store1(records []broker.Record) {
	s.t.Helper()
	stored := make(chan error, len(records))
	s.broker.Publish(s.t.Context(), records, func(_ int, _ broker.Receipt, err error) { stored <- err })
	for range records {
		if err := <-stored; err != nil {
			s.t.Fatal(err)
		}
	}
}

// read lets a group read a topic: it settles n records and stays until stop is called.
func (s *shop) read(group, topic string, n int) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	settled, ended := make(chan struct{}, n), make(chan error, 1)
	go func() {
		ended <- s.broker.Consume(ctx, broker.Reader{Group: group, Topics: []string{topic}}, func(ctx context.Context, p broker.Partition) {
			for {
				limit := 1
				if len(settled) == n {
					limit = 0
				}
				deliveries, err := p.Fetch(ctx, limit, 1<<20)
				if err != nil {
					return
				}
				for _, d := range deliveries {
					if err := p.Settle(ctx, broker.Settlement{Done: []uint64{d.Sequence}, Next: d.Sequence + 1}); err != nil {
						s.t.Error(err)
					}
					settled <- struct{}{}
				}
			}
		})
	}()
	testenv.Eventually(s.t, time.Minute, func() error {
		states, err := s.broker.Topics(s.t.Context(), broker.Survey, broker.Topic{Name: topic})
		if err != nil {
			return err
		}
		for _, r := range states[0].Readers {
			if r.Group == group && r.Members == 1 && int(states[0].Messages)-int(r.Lag) == n {
				return nil
			}
		}
		return fmt.Errorf("%+v", states[0])
	})
	return func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	}
}
