package admin_test

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/internal/cloudevents"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/memory"
	"github.com/tidings-go/tidings/store/postgres"
	"github.com/tidings-go/tidings/store/sqlite"
)

const group = "shop.mailer"

// eachStore runs a test on every store.
func eachStore(t *testing.T, test func(t *testing.T, s store.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, memory.New())
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(t, s)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		schema := "admin_" + strings.ToLower(rand.Text()[:12])
		s, err := postgres.Open(t.Context(), testenv.Postgres(t), postgres.Config{Schema: schema})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, failed := s.Pool().Exec(context.WithoutCancel(t.Context()), "DROP SCHEMA "+schema+" CASCADE"); failed != nil {
				t.Error(failed)
			}
			if failed := s.Close(); failed != nil {
				t.Error(failed)
			}
		})
		if err = s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(t, s)
	})
}

// letter is a dead letter of the group with that id.
func letter(t *testing.T, id string) store.Row {
	t.Helper()
	e := cloudevents.Event{ID: id, Source: "/shop", Type: "shop.OrderPlaced.v1", ContentType: cloudevents.JSON, PartitionKey: "k" + id, Time: time.Now()}
	headers, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	r := broker.Record{Topic: "orders", Key: "k" + id, ID: id, Headers: headers, Value: []byte(`{"n":1}`)}
	return store.Row{
		Record: r, Queue: group, State: store.Dead, Source: "/shop", MessageID: id,
		History: []byte(`[{"time":"2026-01-02T03:04:05Z","attempt":1,"error":"first"},{"time":"2026-01-02T03:04:06Z","attempt":2,"error":"mail server is down"}]`),
	}
}

func add(t *testing.T, s store.Store, rows ...store.Row) {
	t.Helper()
	err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, rows...) })
	if err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, s store.Store, f admin.Filter) []store.Row {
	t.Helper()
	rows, err := admin.Find(t.Context(), s, f)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func ids(rows []store.Row) string {
	list := make([]string, len(rows))
	for i, r := range rows {
		list[i] = r.MessageID
	}
	return strings.Join(list, " ")
}

func TestFindFilters(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store.Store) {
		t.Helper()
		other := letter(t, "2")
		other.Queue, other.History, other.Record.Topic = "shop.other", []byte(`[{"error":"no such thing"}]`), "invoices"
		foreign := letter(t, "4")
		foreign.Record.Headers, foreign.Source = nil, ""
		add(t, s, letter(t, "1"), other, letter(t, "3"), foreign)
		for want, f := range map[string]admin.Filter{
			"1 2 3 4": {},
			"1 3 4":   {Queues: []string{group}},
			"2":       {Error: "no such"},
			"1 3":     {Error: "mail server", Source: "/shop"},
			"3":       {Key: "k3"},
			"1":       {Queues: []string{group}, Limit: 1},
			"1 2 3":   {Type: "shop.OrderPlaced.v1"},
			"":        {States: []store.State{store.Ready}},
		} {
			if got := ids(find(t, s, f)); got != want {
				t.Errorf("%+v finds %q, want %q", f, got, want)
			}
		}
		rows := find(t, s, admin.Filter{})
		if got := ids(find(t, s, admin.Filter{IDs: []int64{rows[1].ID, rows[2].ID}})); got != "2 3" {
			t.Errorf("by ids it finds %q", got)
		}
		_, err := admin.Find(t.Context(), s, admin.Filter{IDs: []int64{rows[0].ID, 4711}})
		if !errors.Is(err, admin.ErrNotFound) || !strings.Contains(err.Error(), "4711") {
			t.Errorf("an id that is not there: %v", err)
		}
	})
}

func TestRetryMakesDeadLettersReadyOnce(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store.Store) {
		t.Helper()
		add(t, s, letter(t, "1"), letter(t, "2"))
		rows := find(t, s, admin.Filter{})
		if err := admin.Retry(t.Context(), s, rows[:1]); err != nil {
			t.Fatal(err)
		}
		if err := admin.Retry(t.Context(), s, rows); !errors.Is(err, admin.ErrChanged) {
			t.Errorf("a second retry of the first with the second: %v", err)
		}
		if got := ids(find(t, s, admin.Filter{Queues: []string{group}, States: []store.State{store.Ready}})); got != "1" {
			t.Errorf("ready are %q", got)
		}
		dead := letter(t, "3")
		dead.Queue = ""
		add(t, s, dead)
		if err := admin.Retry(t.Context(), s, find(t, s, admin.Filter{Queues: []string{""}})); err == nil {
			t.Error("a dead row of the outbox was retried")
		}
	})
}

func TestDiscardKeepsACopyWithTheReason(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store.Store) {
		t.Helper()
		add(t, s, letter(t, "1"))
		rows := find(t, s, admin.Filter{})
		if err := admin.Discard(t.Context(), s, rows, ""); err == nil {
			t.Error("discarded without a reason")
		}
		if err := admin.Discard(t.Context(), s, rows, "a test order"); err != nil {
			t.Fatal(err)
		}
		if left := find(t, s, admin.Filter{}); len(left) != 0 {
			t.Errorf("left are %+v", left)
		}
		kept := find(t, s, admin.Filter{Queues: []string{admin.DiscardedQueue(group)}})
		if len(kept) != 1 || admin.LastError(&kept[0]) != "discarded: a test order" || len(admin.History(&kept[0])) != 3 {
			t.Errorf("kept are %+v", kept)
		}
		if err := admin.Retry(t.Context(), s, kept); err == nil {
			t.Error("what was discarded was retried")
		}
		if got := find(t, s, admin.Filter{IDs: []int64{kept[0].ID}}); len(got) != 1 {
			t.Errorf("what was discarded can't be looked at by its id: %+v", got)
		}
		if _, err := admin.Edit(t.Context(), s, &kept[0], admin.Change{Data: []byte("{}")}); err == nil {
			t.Error("what was discarded was edited")
		}
	})
}

func TestEditMakesOneNewMessage(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store.Store) {
		t.Helper()
		add(t, s, letter(t, "1"))
		dead := find(t, s, admin.Filter{})[0]
		change := admin.Change{Data: []byte(`{"n":2}`), Headers: []broker.Header{{Name: "ce-subject", Value: "42"}, {Name: "ce-time"}}}
		planned, err := admin.Edited(&dead, change)
		if err != nil {
			t.Fatal(err)
		}
		edited, err := admin.Edit(t.Context(), s, &dead, change)
		if err != nil || edited.MessageID != planned.MessageID || edited.MessageID == "1" {
			t.Fatalf("edited is %+v, %v; planned %+v", edited, err, planned)
		}
		if _, err = admin.Edit(t.Context(), s, &dead, change); !errors.Is(err, admin.ErrChanged) {
			t.Errorf("the same edit again: %v", err)
		}
		rows := find(t, s, admin.Filter{})
		if len(rows) != 1 || rows[0].State != store.Ready || rows[0].Queue != group || string(rows[0].Record.Value) != `{"n":2}` {
			t.Fatalf("the rows are %+v", rows)
		}
		e, err := cloudevents.Decode(rows[0].Record.Headers, rows[0].Record.Value)
		if err != nil || e.ID != edited.MessageID || e.CausationID != "1" || e.Subject != "42" || !e.Time.IsZero() || e.PartitionKey != "k1" {
			t.Errorf("the message is %+v, %v", e, err)
		}
	})
}

func TestEditRefusesWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	dead := letter(t, "1")
	for _, c := range []admin.Change{{}, {Headers: []broker.Header{{Name: "ce-type"}}}, {Headers: []broker.Header{{Name: "ce-time", Value: "yesterday"}}}} {
		if _, err := admin.Edited(&dead, c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	dead.Record.Headers = nil
	dead.Record.Value = []byte(`{"specversion":"1.0","id":"7","source":"/s","type":"t","data":{"n":1}}`)
	row, err := admin.Edited(&dead, admin.Change{Data: []byte(`{"n":2}`)})
	if err != nil || string(row.Record.Value) != `{"n":2}` || row.Source != "/s" {
		t.Errorf("a structured one becomes %+v, %v", row, err)
	}
}

func TestParkAndReleaseInTheOutbox(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store.Store) {
		t.Helper()
		ready := func(id, key string) store.Row {
			r := letter(t, id)
			r.Queue, r.State, r.History, r.Record.Key = "", store.Ready, nil, key
			return r
		}
		add(t, s, ready("1", "k"), ready("2", ""))
		if err := admin.Park(t.Context(), s, find(t, s, admin.Filter{}), "wrong price"); err != nil {
			t.Fatal(err)
		}
		dead := find(t, s, admin.Filter{States: []store.State{store.Dead}})
		if len(dead) != 2 || admin.LastError(&dead[0]) != "parked: wrong price" {
			t.Fatalf("parked are %+v", dead)
		}
		if err := admin.Release(t.Context(), s, dead); err != nil {
			t.Fatal(err)
		}
		if got := ids(find(t, s, admin.Filter{States: []store.State{store.Held}})); got != "1" {
			t.Errorf("held are %q", got)
		}
		if got := ids(find(t, s, admin.Filter{States: []store.State{store.Ready}})); got != "2" {
			t.Errorf("ready are %q", got)
		}
		if err := admin.Release(t.Context(), s, dead); err == nil {
			t.Error("released twice")
		}
	})
}
