package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	memorybroker "github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/internal/outbox"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

func openSQLite(tb testing.TB) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(context.Background(), filepath.Join(tb.TempDir(), "test.db"), sqlite.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return s
}

// counted is an event that carries the number that it has among those of its key, from the user's own table.
type counted struct {
	Key string
	N   int
}

// TestFromSQLiteToABroker runs transactions, relays that come and go, and a broker that fails now and then, and reads the topic back.
func TestFromSQLiteToABroker(t *testing.T) {
	const transactions, writers = 400, 4
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := openSQLite(t)
	makeCounters(t, s)
	var healthy atomic.Bool
	b := memorybroker.New(memorybroker.Config{Fault: func(op, _ string) error {
		if op == "publish" && !healthy.Load() && rand.IntN(4) == 0 {
			return errDown
		}
		return nil
	}})
	defer b.Close()
	if _, err := b.Topics(ctx, broker.Apply, broker.Topic{Name: "orders", Partitions: 3}); err != nil {
		t.Fatal(err)
	}

	stop := start(t, s, b, outbox.Config{Batch: 16})
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for i := range transactions / writers {
				var result error
				if i%5 == 4 {
					result = errUndo
				}
				if err := countOne(ctx, s, fmt.Sprint("key", rand.IntN(5)), result); !errors.Is(err, result) {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		<-time.After(20 * time.Millisecond)
		stop()
		stop = start(t, s, b, outbox.Config{Batch: 16})
	}
	writing.Wait()
	healthy.Store(true)
	for count(s) > 0 && ctx.Err() == nil {
		<-time.After(5 * time.Millisecond)
	}
	stop()
	checkTopic(ctx, t, s, b)
}

func makeCounters(t *testing.T, s *sqlite.Store) {
	t.Helper()
	err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
		_, err := tx.(*sqlite.Tx).ExecContext(ctx, `CREATE TABLE counters (key TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var errUndo = errors.New("undo")

// countOne is a business transaction. It ends with result: if that is an error, nothing of it may stay.
func countOne(ctx context.Context, s store.Store, key string, result error) error {
	return s.InTx(ctx, func(ctx context.Context, native store.Native) error {
		e := counted{Key: key}
		err := native.(*sqlite.Tx).QueryRowContext(ctx, `INSERT INTO counters (key, n) VALUES ($1, 1)
			ON CONFLICT (key) DO UPDATE SET n = n + 1 RETURNING n`, key).Scan(&e.N)
		if err != nil {
			return err
		}
		value, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if err := native.StoreTx().Append(ctx, row(key, string(value))); err != nil {
			return err
		}
		return result
	})
}

// checkTopic compares what the broker has with the counters: the truth is in the user's own table.
func checkTopic(ctx context.Context, t *testing.T, s *sqlite.Store, b broker.Broker) {
	t.Helper()
	arrived := readTopic(ctx, t, b)
	rows, err := s.DB().QueryContext(ctx, `SELECT key, n FROM counters`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	keys := 0
	for rows.Next() {
		var key string
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			t.Fatal(err)
		}
		keys++
		if arrived[key] != n {
			t.Errorf("%s: %d were committed, %d arrived", key, n, arrived[key])
		}
	}
	if err := rows.Err(); err != nil || keys != 5 || count(s) != 0 {
		t.Errorf("%d keys, %d rows are left, %v", keys, count(s), err)
	}
}

// readTopic returns the last number of each key, and complains when one came for the first time after a larger one.
func readTopic(ctx context.Context, t *testing.T, b broker.Broker) map[string]int {
	t.Helper()
	var mu sync.Mutex
	last := map[string]int{}
	see := func(d broker.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		var e counted
		if err := json.Unmarshal(d.Value, &e); err != nil || e.N > last[e.Key]+1 {
			t.Errorf("%s came after %d (%v)", d.Value, last[e.Key], err)
		}
		last[e.Key] = max(last[e.Key], e.N)
	}
	err := b.Consume(ctx, broker.Reader{Topics: []string{"orders"}, ToEnd: true}, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 100, 1<<20)
			if err != nil {
				return
			}
			for _, d := range deliveries {
				see(d)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// discard takes everything.
type discard struct{ broker.Broker }

func (discard) Publish(_ context.Context, records []broker.Record, done func(int, broker.Receipt, error)) {
	for i := range records {
		done(i, broker.Receipt{}, nil)
	}
}

// BenchmarkDrain relays 50,000 rows of 500 bytes from SQLite to a broker that takes them at once.
func BenchmarkDrain(b *testing.B) {
	const backlog = 50_000
	for b.Loop() {
		b.StopTimer()
		s := openSQLite(b)
		r := row("key", "value")
		r.Record.Value = make([]byte, 500)
		r.Record.Headers = []broker.Header{{Name: "ce-type", Value: "tickets.BookingMade.v1"}, {Name: "ce-source", Value: "/tickets"}}
		rows := make([]store.Row, 1000)
		for i := range rows {
			rows[i] = r
		}
		for range backlog / len(rows) {
			add(b, s, rows...)
		}
		b.StartTimer()
		stop := start(b, s, discard{}, outbox.Config{})
		waitEmpty(s)
		b.StopTimer()
		stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(backlog*b.N)/b.Elapsed().Seconds(), "rows/s")
}

func waitEmpty(s store.Store) {
	for {
		empty := true
		for range s.List(context.Background(), store.Filter{Limit: 1}) {
			empty = false
		}
		if empty {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// signal tells when a record has been published.
type signal struct {
	discard
	published chan struct{}
}

func (s signal) Publish(ctx context.Context, records []broker.Record, done func(int, broker.Receipt, error)) {
	s.discard.Publish(ctx, records, done)
	for range records {
		s.published <- struct{}{}
	}
}

// BenchmarkCommitToPublish is the way of one event when nothing else happens: a durable commit, and the relay's call of Publish.
func BenchmarkCommitToPublish(b *testing.B) {
	s := openSQLite(b)
	out := signal{published: make(chan struct{}, 1)}
	defer start(b, s, out, outbox.Config{})()
	for b.Loop() {
		add(b, s, row("key", "value"))
		<-out.published
	}
}
