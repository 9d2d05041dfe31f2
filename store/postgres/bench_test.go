package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
	"github.com/tidings-go/tidings/internal/outbox"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

// benchRow is an event of about 700 bytes of a service of medium size. Keys are many, so that all lanes have something to do.
func benchRow(topic string, n int) store.Row {
	r := store.Row{Record: broker.Record{Topic: topic, Key: strconv.Itoa(n % 1009), ID: fmt.Sprintf("0193d7a1-0000-7000-8000-%012d", n), Value: make([]byte, 500)}}
	r.Source, r.MessageID = "/tickets", r.Record.ID
	r.Record.Headers = []broker.Header{{Name: "ce-type", Value: "tickets.BookingMade.v1"}, {Name: "ce-source", Value: "/tickets"}, {Name: "ce-id", Value: r.Record.ID}}
	return r
}

// discard takes everything.
type discard struct{ broker.Broker }

func (discard) Publish(_ context.Context, records []broker.Record, done func(int, broker.Receipt, error)) {
	for i := range records {
		done(i, broker.Receipt{}, nil)
	}
}

// kafkaTopic opens the Kafka of the tests, with a topic of its own.
func kafkaTopic(tb testing.TB) (b broker.Broker, topic string) {
	tb.Helper()
	k, err := kafka.Open(tb.Context(), strings.Split(strings.TrimPrefix(testenv.Kafka(tb), "kafka://"), ","), kafka.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = k.Close() })
	topic = newSchema(tb)
	if _, err := k.Topics(tb.Context(), broker.Apply, broker.Topic{Name: topic, Partitions: 8}); err != nil {
		tb.Fatal(err)
	}
	return k, topic
}

// relayTo runs the relay until stop is called.
func relayTo(tb testing.TB, s *postgres.Store, b broker.Broker, stats *outbox.Stats) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := outbox.Run(ctx, s, b, outbox.Config{Stats: stats}); err != nil {
			tb.Error(err)
		}
	}()
	return func() { cancel(); <-done }
}

// BenchmarkDrain relays a backlog of 50,000 rows. What the database spends on it is that of the relay's sessions; it is not measured where the server
// is another machine.
func BenchmarkDrain(b *testing.B) {
	b.Run("to nobody", func(b *testing.B) { benchmarkDrain(b, discard{}, "orders") })
	b.Run("to Kafka", func(b *testing.B) {
		k, topic := kafkaTopic(b)
		benchmarkDrain(b, k, topic)
	})
	b.Run("plain statements", benchmarkPlainDrain)
}

const backlog = 50_000

func fillBacklog(b *testing.B, s *postgres.Store, topic string) {
	b.Helper()
	for n := 0; n < backlog; n += 1000 {
		rows := make([]store.Row, 1000)
		for i := range rows {
			rows[i] = benchRow(topic, n+i)
		}
		appendRows(b, s, rows...)
	}
	run(b, testenv.Postgres(b), `CHECKPOINT`)
}

func benchmarkDrain(b *testing.B, to broker.Broker, topic string) {
	b.Helper()
	s := ready(b, postgres.Config{})
	var spent, published time.Duration
	for b.Loop() {
		b.StopTimer()
		fillBacklog(b, s, topic)
		var stats outbox.Stats
		b.StartTimer()
		began := time.Now()
		stop := relayTo(b, s, to, &stats)
		testenv.Eventually(b, time.Minute, func() error { return atLeast(&stats, backlog) })
		published += time.Since(began)
		testenv.Eventually(b, time.Minute, func() error { return empty(b, s) })
		b.StopTimer()
		reading, writing := s.ReaderSessions()
		spent += processorTime(reading) + processorTime(writing)
		stop()
		b.StartTimer()
	}
	rows := float64(backlog * b.N)
	b.ReportMetric(rows/published.Seconds(), "published/s")
	b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(spent.Seconds()/rows*1e6, "db-s/Mrow")
}

func atLeast(stats *outbox.Stats, want int64) error {
	if n := stats.Published.Load(); n < want {
		return fmt.Errorf("%d of %d rows were published", n, want)
	}
	return nil
}

func empty(tb testing.TB, s *postgres.Store) error {
	tb.Helper()
	var left bool
	if err := s.Pool().QueryRow(tb.Context(), `SELECT EXISTS (SELECT FROM `+schemaOf(s)+`.outbox)`).Scan(&left); err != nil {
		return err
	}
	if left {
		return errors.New("rows are left")
	}
	return nil
}

// processorTime is what a process of this machine has used, or 0 if that can't be found out.
func processorTime(pid uint32) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// benchmarkPlainDrain reads and deletes by hand, one statement after the other: what the database needs at least.
func benchmarkPlainDrain(b *testing.B) {
	s := ready(b, postgres.Config{})
	table := schemaOf(s) + ".outbox_0"
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		fillBacklog(b, s, "orders")
		conn, err := pgx.Connect(b.Context(), testenv.Postgres(b))
		if err != nil {
			b.Fatal(err)
		}
		run(b, testenv.Postgres(b), `ANALYZE `+table)
		_, _ = conn.Exec(b.Context(), `SET synchronous_commit = off`)
		b.StartTimer()
		last := int64(0)
		for {
			rows, err := conn.Query(b.Context(), `SELECT id, topic, key, dedup, headers, value FROM `+table+` WHERE id > $1 ORDER BY id LIMIT 4096`, last)
			if err != nil {
				b.Fatal(err)
			}
			var ids []int64
			for rows.Next() {
				values := rows.RawValues()
				ids = append(ids, int64(uint64(values[0][0])<<56|uint64(values[0][1])<<48|uint64(values[0][2])<<40|uint64(values[0][3])<<32|
					uint64(values[0][4])<<24|uint64(values[0][5])<<16|uint64(values[0][6])<<8|uint64(values[0][7])))
			}
			rows.Close()
			if len(ids) == 0 {
				break
			}
			last = ids[len(ids)-1]
			if _, err := conn.Exec(b.Context(), `DELETE FROM `+table+` WHERE id = ANY($1)`, ids); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		spent += processorTime(conn.PgConn().PID())
		_ = conn.Close(b.Context())
		b.StartTimer()
	}
	rows := float64(backlog * b.N)
	b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(spent.Seconds()/rows*1e6, "db-s/Mrow")
}

// BenchmarkCommitToPublish is how long after its commit a record is acknowledged, at 200 transactions a second.
func BenchmarkCommitToPublish(b *testing.B) {
	b.Run("to nobody", func(b *testing.B) { benchmarkCommitToPublish(b, discard{}, "orders") })
	b.Run("to Kafka", func(b *testing.B) {
		k, topic := kafkaTopic(b)
		benchmarkCommitToPublish(b, k, topic)
	})
}

// clocked notes when each record was acknowledged, by its id.
type clocked struct {
	broker.Broker
	mu    sync.Mutex
	times map[string]time.Time
	asked map[string]time.Time
}

func (c *clocked) Publish(ctx context.Context, records []broker.Record, done func(int, broker.Receipt, error)) {
	c.mu.Lock()
	for i := range records {
		c.asked[records[i].ID] = time.Now()
	}
	c.mu.Unlock()
	c.Broker.Publish(ctx, records, func(i int, r broker.Receipt, err error) {
		c.mu.Lock()
		c.times[records[i].ID] = time.Now()
		c.mu.Unlock()
		done(i, r, err)
	})
}

func benchmarkCommitToPublish(b *testing.B, to broker.Broker, topic string) {
	b.Helper()
	s := ready(b, postgres.Config{})
	var stats outbox.Stats
	c := &clocked{Broker: to, times: map[string]time.Time{}, asked: map[string]time.Time{}}
	defer relayTo(b, s, c, &stats)()
	appendRows(b, s, benchRow(topic, 0))
	testenv.Eventually(b, time.Minute, func() error { return atLeast(&stats, 1) })
	committed := map[string]time.Time{}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	n := 0
	for b.Loop() {
		<-tick.C
		n++
		r := benchRow(topic, n)
		appendRows(b, s, r)
		committed[r.Record.ID] = time.Now()
	}
	testenv.Eventually(b, time.Minute, func() error { return atLeast(&stats, int64(n+1)) })
	var asked, took []time.Duration
	c.mu.Lock()
	for id, at := range committed {
		asked, took = append(asked, c.asked[id].Sub(at)), append(took, c.times[id].Sub(at))
	}
	c.mu.Unlock()
	report(b, asked, "published")
	report(b, took, "acked")
}

func report(b *testing.B, took []time.Duration, what string) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, what+"-p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, what+"-p99-ms")
}

// BenchmarkWriters is eight writers that commit one event at a time, alone and while the relay publishes. The relay's share of the database's work is that of
// its sessions.
func BenchmarkWriters(b *testing.B) {
	b.Run("alone", func(b *testing.B) { benchmarkWriters(b, nil, "orders") })
	b.Run("and a relay", func(b *testing.B) {
		k, topic := kafkaTopic(b)
		benchmarkWriters(b, k, topic)
	})
}

func benchmarkWriters(b *testing.B, to broker.Broker, topic string) {
	b.Helper()
	cfg := postgres.Config{Schema: newSchema(b)}
	s := open(b, testenv.Postgres(b)+"&pool_max_conns=10", cfg)
	if err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	var stats outbox.Stats
	c := &clocked{Broker: to, times: map[string]time.Time{}, asked: map[string]time.Time{}}
	if to != nil {
		defer relayTo(b, s, c, &stats)()
		appendRows(b, s, benchRow(topic, 0))
		testenv.Eventually(b, time.Minute, func() error { return atLeast(&stats, 1) })
	}
	reading, writing := s.ReaderSessions()
	before := processorTime(reading) + processorTime(writing)
	var n atomic.Int64
	var mu sync.Mutex
	committed := map[string]time.Time{}
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := benchRow(topic, int(n.Add(1)))
			appendRows(b, s, r)
			at := time.Now()
			mu.Lock()
			committed[r.Record.ID] = at
			mu.Unlock()
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "tx/s")
	if to == nil {
		return
	}
	testenv.Eventually(b, time.Minute, func() error { return atLeast(&stats, n.Load()+1) })
	var took []time.Duration
	c.mu.Lock()
	for id, at := range committed {
		took = append(took, c.times[id].Sub(at))
	}
	c.mu.Unlock()
	report(b, took, "acked")
	spent := processorTime(reading) + processorTime(writing) - before
	b.ReportMetric(float64(spent.Microseconds())/float64(n.Load()), "relay-db-us/tx")
}
