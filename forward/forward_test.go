package forward_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/forward"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type noted struct {
	Key string `json:"key" tidings:"key"`
	N   int    `json:"n"`
}

var (
	made    = tidings.Define[noted]("notes", "Made", "v1")
	edited  = tidings.Define[noted]("notes", "Edited", "v3")
	foreign = tidings.Define[noted]("notes", "Renamed", "v1", tidings.WireType("note.renamed"))
	seen    = tidings.Define[noted]("notes", "Seen", "v1", tidings.Internal)
)

func TestMessagesGoToTheirTopicsUnchangedAndInOrder(t *testing.T) {
	r := start(t, memory.Config{})
	events := []*tidings.Event[noted]{made, edited, foreign}
	sent := map[string][]tidings.Message{}
	for i := range 3000 {
		m := events[i%3].New(noted{Key: fmt.Sprintf("k%d", i%11), N: i})
		m.Extensions = []tidings.Header{{Name: "tenant", Value: "a"}}
		name := []string{"Made", "Edited", "Renamed"}[i%3]
		sent[name] = append(sent[name], m)
		r.publish(m)
	}
	for name, want := range sent {
		r.check("events."+name, want)
	}
}

// A failing topic holds up its own messages, which come in order once it is well again; the others go on.
func TestOneTopicFails(t *testing.T) {
	var failing atomic.Bool
	failing.Store(true)
	r := start(t, memory.Config{Fault: func(op, topic string) error {
		if op == "publish" && topic == "events.Made" && failing.Load() {
			return errors.New("out of order")
		}
		return nil
	}})
	var mades, editeds []tidings.Message
	for i := range 100 {
		m, e := made.New(noted{Key: "a", N: i}), edited.New(noted{Key: fmt.Sprintf("b%d", i%5), N: i})
		mades, editeds = append(mades, m), append(editeds, e)
		r.publish(m, e)
	}
	r.check("events.Edited", editeds)
	if n := len(r.records("events.Made")); n != 0 {
		t.Errorf("%d messages are on the topic that fails", n)
	}
	failing.Store(false)
	r.check("events.Made", mades)
}

func TestWhatCantBeForwardedIsADeadLetter(t *testing.T) {
	t.Run("a type without a name", func(t *testing.T) { refused(t, "odd", "WireType") })
	t.Run("an internal event", func(t *testing.T) { refused(t, seen.Definition().Type(), "is internal") })
}

func refused(t *testing.T, typ, because string) {
	t.Helper()
	r := start(t, memory.Config{})
	m := made.New(noted{Key: "a"})
	r.publish(m)
	r.check("events.Made", []tidings.Message{m})
	odd := r.records("events")[0]
	odd.ID = ""
	odd.Headers = slices.Clone(odd.Headers)
	for i := range odd.Headers {
		if odd.Headers[i].Name == "ce-type" {
			odd.Headers[i].Value = typ
		}
	}
	r.broker.Publish(t.Context(), []broker.Record{odd}, func(_ int, _ broker.Receipt, err error) {
		if err != nil {
			t.Error(err)
		}
	})
	next := made.New(noted{Key: "a"})
	r.publish(next)
	r.check("events.Made", []tidings.Message{m, next})
	testenv.Eventually(t, 10*time.Second, func() error {
		for row, err := range r.store.List(t.Context(), store.Filter{Queues: []string{"notes.forwarder"}, States: []store.State{store.Dead}}) {
			if err != nil {
				return err
			}
			if !strings.Contains(string(row.History), because) {
				return fmt.Errorf("the history does not say what to do: %s", row.History)
			}
			return nil
		}
		return errors.New("no dead letter")
	})
}

// BenchmarkForward measures one message's way from the shared topic to its own.
func BenchmarkForward(b *testing.B) {
	r := start(b, memory.Config{Retain: 1 << 20})
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		r.publish(made.New(noted{Key: fmt.Sprintf("k%d", i%100), N: i}))
	}
	testenv.Eventually(b, time.Minute, func() error { return r.arrived("events.Made", b.N) })
}

// running is an app with a forwarder.
type running struct {
	t      testing.TB
	app    *tidings.App
	broker *memory.Broker
	store  *sqlite.Store
}

func start(tb testing.TB, cfg memory.Config) *running {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "notes.db"), sqlite.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	b := memory.New(cfg)
	tb.Cleanup(func() { _ = b.Close() })
	app := tidings.New(tidings.Config{Service: "notes", Broker: b, Store: s, Topology: tidings.Shared{}})
	app.Emits(made, edited, foreign, seen)
	forward.Add(app.AddModule("platform"), forward.Config{})
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	select {
	case <-app.Ready():
	case err := <-done:
		done <- nil
		tb.Fatalf("the app ended: %v", err)
	}
	return &running{tb, app, b, s}
}

func (r *running) publish(messages ...tidings.Message) {
	r.t.Helper()
	if err := r.app.Direct().Publish(r.t.Context(), messages...); err != nil {
		r.t.Fatal(err)
	}
}

// arrived looks whether a topic holds n records.
func (r *running) arrived(topic string, n int) error {
	states, err := r.app.Topics(r.t.Context())
	if err != nil {
		return err
	}
	for _, s := range states {
		if s.Name == topic && s.Messages != uint64(n) {
			return fmt.Errorf("%s has %d messages, want %d", topic, s.Messages, n)
		}
	}
	return nil
}

// check waits for the messages on a topic, and compares them and the order per key.
func (r *running) check(topic string, want []tidings.Message) {
	r.t.Helper()
	testenv.Eventually(r.t, 30*time.Second, func() error { return r.arrived(topic, len(want)) })
	byKey := map[string][]broker.Record{}
	for _, record := range r.records(topic) {
		byKey[record.Key] = append(byKey[record.Key], record)
	}
	for _, m := range want {
		records := byKey[m.Key]
		if len(records) == 0 {
			r.t.Fatalf("%s: message %s is missing", topic, m.ID)
		}
		got := records[0]
		byKey[m.Key] = records[1:]
		for name, value := range map[string]string{"ce-id": m.ID, "ce-type": m.Type, "ce-source": "/notes", "ce-partitionkey": m.Key, "ce-correlationid": m.ID, "content-type": m.ContentType} {
			if v, _ := got.Header(name); v != value {
				r.t.Fatalf("%s: header %s is %q, want %q", topic, name, v, value)
			}
		}
		for _, e := range m.Extensions {
			if v, _ := got.Header("ce-" + e.Name); v != e.Value {
				r.t.Fatalf("%s: extension %s is %q", topic, e.Name, v)
			}
		}
		if string(got.Value) != string(m.Data) {
			r.t.Fatalf("%s: the payload is %s, want %s", topic, got.Value, m.Data)
		}
	}
}

// records reads a topic.
func (r *running) records(topic string) []broker.Record {
	r.t.Helper()
	var mu sync.Mutex
	var records []broker.Record
	reader := broker.Reader{Topics: []string{topic}, ToEnd: true}
	err := r.broker.Consume(r.t.Context(), reader, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 1000, 1<<20)
			if err != nil {
				return
			}
			mu.Lock()
			for _, d := range deliveries {
				records = append(records, d.Record)
			}
			mu.Unlock()
		}
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return records
}
