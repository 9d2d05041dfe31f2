package lake_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/lake"
	"github.com/tidings-go/tidings/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type noted struct {
	Key string `json:"key" tidings:"key"`
	N   int    `json:"n"`
}

var (
	made   = tidings.Define[noted]("notes", "Made", "v1")
	edited = tidings.Define[noted]("notes", "Edited", "v2")
	seen   = tidings.Define[noted]("notes", "Seen", "v1", tidings.Internal)
)

func TestEveryMessageIsStoredOnceAndInOrder(t *testing.T) {
	r := start(t)
	var sent []tidings.Message
	for i := range 300 {
		event := []*tidings.Event[noted]{made, edited}[i%2]
		sent = append(sent, event.New(noted{Key: fmt.Sprintf("k%d", i%7), N: i}))
	}
	r.publish(sent...)
	got := r.wait(300)

	stored := map[string]lake.Message{}
	last := map[string]int{}
	position := int64(0)
	for _, m := range got {
		if m.Position <= position {
			t.Fatalf("position %d comes after %d", m.Position, position)
		}
		position = m.Position
		stored[m.ID] = m
		payload, err := made.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := last[m.Key]; ok && payload.N < before {
			t.Errorf("key %s: %d is stored after %d", m.Key, payload.N, before)
		}
		last[m.Key] = payload.N
	}
	for _, want := range sent {
		m, ok := stored[want.ID]
		if !ok {
			t.Fatalf("message %s is not in the lake", want.ID)
		}
		if m.Type != want.Type || m.Source != "/notes" || m.Key != want.Key || string(m.Data) != string(want.Data) || !m.Time.Equal(want.Time) || m.CorrelationID != want.ID {
			t.Errorf("sent %+v, stored %+v", want, m.Message)
		}
	}
}

// A message that comes again, for whatever reason, is not stored again: neither under the subscription's own claim nor past it.
func TestRepeatedMessages(t *testing.T) {
	r := start(t)
	again := made.New(noted{Key: "a"})
	r.publish(again)
	r.wait(1)
	r.repeat()
	r.publish(made.New(noted{Key: "a"}))
	r.wait(2)

	_, err := r.db.ExecContext(t.Context(), "DELETE FROM tidings_seen") // as if the claims had been forgotten
	if err != nil {
		t.Fatal(err)
	}
	r.repeat()
	r.publish(made.New(noted{Key: "a"}))
	r.wait(3)
}

// An internal event on a public topic is a leak, and the lake shows it.
func TestLeaksAreVisible(t *testing.T) {
	r := start(t)
	r.publish(seen.New(noted{Key: "a"}))
	r.publish(made.New(noted{Key: "a"}))
	r.wait(1)
	r.repeat("internal-events.svc-notes.Seen")
	r.wait(2)
	n, err := lake.Count(t.Context(), r.db, lake.Filter{Types: []string{"notes.Seen.v1"}})
	if err != nil || n != 1 {
		t.Errorf("the leaked event is in the lake %d times, %v", n, err)
	}
}

func TestExtensionsAndHeadersAreKept(t *testing.T) {
	r := start(t)
	m := made.New(noted{Key: "ключ|1"})
	m.Extensions = []tidings.Header{{Name: "dataclass", Value: "hidden"}, {Name: "tenant", Value: "ü"}}
	m.Headers = []tidings.Header{{Name: "x-trace", Value: "1"}, {Name: "x-trace", Value: "2"}}
	m.Subject, m.CorrelationID, m.CausationID = "note 1", "c1", "c2"
	m.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	r.publish(m)
	got := r.wait(1)[0]
	if !slices.Equal(got.Extensions, m.Extensions) || !slices.Equal(got.Headers, m.Headers) || got.TraceParent != m.TraceParent ||
		got.Subject != m.Subject || got.CorrelationID != "c1" || got.CausationID != "c2" || got.ContentType != "application/json" || got.Key != m.Key {
		t.Errorf("sent %+v, stored %+v", m, got.Message)
	}
	if d := time.Since(got.StoredAt); d < 0 || d > time.Minute {
		t.Errorf("it was stored at %v", got.StoredAt)
	}
}

func TestFilter(t *testing.T) {
	r := start(t)
	for i := range 600 {
		event := []*tidings.Event[noted]{made, edited}[i%2]
		r.publish(event.New(noted{Key: fmt.Sprintf("k%d", i%3), N: i}))
	}
	all := r.wait(600)
	for _, test := range []struct {
		name   string
		filter lake.Filter
		want   int
	}{
		{"all", lake.Filter{}, 600},
		{"after", lake.Filter{After: all[99].Position}, 500},
		{"type", lake.Filter{Types: []string{edited.Definition().Type()}}, 300},
		{"types", lake.Filter{Types: []string{edited.Definition().Type(), made.Definition().Type(), "x.Y.v1"}}, 600},
		{"key", lake.Filter{Key: "k1"}, 200},
		{"key and type", lake.Filter{Key: "k1", Types: []string{made.Definition().Type()}}, 100},
		{"limit", lake.Filter{Limit: 300}, 300},
		{"a limit of one page", lake.Filter{Limit: 256}, 256},
		{"nothing", lake.Filter{Key: "x"}, 0},
	} {
		if got := r.read(test.filter); len(got) != test.want {
			t.Errorf("%s: got %d messages, want %d", test.name, len(got), test.want)
		}
		test.filter.Limit = 0
		if test.name == "limit" || test.name == "a limit of one page" {
			continue
		}
		if n, err := lake.Count(t.Context(), r.db, test.filter); err != nil || int(n) != test.want {
			t.Errorf("%s: counted %d, %v; want %d", test.name, n, err, test.want)
		}
	}
}

func TestReadReportsWhatIsWrong(t *testing.T) {
	db := open(t).DB()
	for _, err := range lake.Read(t.Context(), db, lake.Filter{}) {
		if err == nil || !strings.Contains(err.Error(), "tidings_lake") {
			t.Errorf("reading without tables: %v", err)
		}
	}
	if _, err := lake.Count(t.Context(), db, lake.Filter{}); err == nil {
		t.Error("counting without tables went well")
	}
	for range 2 {
		if err := lake.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	const bad = `INSERT INTO tidings_lake VALUES (1, 'id', '/s', 'a.B.v1', '', '', 'yesterday', '', '', '', '', '', '', '{}', '[]', '', '')`
	if _, err := db.ExecContext(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	for _, err := range lake.Read(t.Context(), db, lake.Filter{}) {
		if err == nil || !strings.Contains(err.Error(), "position 1") {
			t.Errorf("reading a damaged row: %v", err)
		}
	}
}

// running is an app with a lake.
type running struct {
	t      *testing.T
	app    *tidings.App
	broker *memory.Broker
	db     *sql.DB
}

func open(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "notes.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func start(t *testing.T) *running {
	t.Helper()
	s, b := open(t), memory.New(memory.Config{})
	t.Cleanup(func() { _ = b.Close() })
	if err := lake.Migrate(t.Context(), s.DB()); err != nil {
		t.Fatal(err)
	}
	app := tidings.New(tidings.Config{Service: "notes", Broker: b, Store: s, Topology: tidings.Shared{}})
	app.Emits(made, edited, seen, sold1, sold2)
	lake.Add(app.Module, lake.Config{Batch: tidings.Batch{Size: 120, Wait: 5 * time.Millisecond}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-app.Ready():
	case err := <-done:
		done <- nil
		t.Fatalf("the app ended: %v", err)
	}
	return &running{t, app, b, s.DB()}
}

func (r *running) publish(messages ...tidings.Message) {
	r.t.Helper()
	if err := r.app.Direct().Publish(r.t.Context(), messages...); err != nil {
		r.t.Fatal(err)
	}
}

// repeat puts the records of topics onto the shared topic again, past the broker's own deduplication.
func (r *running) repeat(topics ...string) {
	r.t.Helper()
	if topics == nil {
		topics = []string{"events"}
	}
	var records []broker.Record
	reader := broker.Reader{Topics: topics, ToEnd: true}
	found := make(chan broker.Record, 1000)
	err := r.broker.Consume(r.t.Context(), reader, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 100, 1<<20)
			if err != nil {
				return
			}
			for _, d := range deliveries {
				found <- d.Record
			}
		}
	})
	if err != nil {
		r.t.Fatal(err)
	}
	close(found)
	for record := range found {
		record.Topic, record.ID = "events", ""
		records = append(records, record)
	}
	if len(records) == 0 {
		r.t.Fatal("there is nothing to repeat")
	}
	r.broker.Publish(r.t.Context(), records, func(_ int, _ broker.Receipt, err error) {
		if err != nil {
			r.t.Error(err)
		}
	})
}

func (r *running) read(f lake.Filter) []lake.Message {
	r.t.Helper()
	var messages []lake.Message
	for m, err := range lake.Read(r.t.Context(), r.db, f) {
		if err != nil {
			r.t.Fatal(err)
		}
		messages = append(messages, m)
	}
	return messages
}

// wait waits until everything on the topic was handled, and returns the lake, which must hold n messages.
func (r *running) wait(n int) []lake.Message {
	r.t.Helper()
	testenv.Eventually(r.t, 20*time.Second, func() error {
		states, err := r.app.Topics(r.t.Context())
		if err != nil {
			return err
		}
		for _, s := range states {
			for group, lag := range s.Lag {
				if lag > 0 {
					return fmt.Errorf("%s is %d messages behind", group, lag)
				}
			}
		}
		return nil
	})
	messages := r.read(lake.Filter{})
	if len(messages) != n {
		r.t.Fatalf("the lake has %d messages, want %d", len(messages), n)
	}
	return messages
}
