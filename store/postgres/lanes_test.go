package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

func message(key, value string) store.Row {
	return store.Row{Record: broker.Record{Topic: "orders", Key: key, Value: []byte(value)}}
}

func appendRows(tb testing.TB, s *postgres.Store, rows ...store.Row) {
	tb.Helper()
	err := s.InTx(tb.Context(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, rows...) })
	if err != nil {
		tb.Fatal(err)
	}
}

// relay is a consumer of a queue that runs until stop is called or the test ends.
type relay struct {
	stop    func()
	log     *log
	settles bool // what it gets

	mu     sync.Mutex
	values []string
	lanes  int
}

func (r *relay) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.values)
}

func (r *relay) owned() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lanes
}

func (r *relay) count(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lanes += n
}

func startRelay(tb testing.TB, s *postgres.Store, settle bool) *relay {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	r := &relay{log: newLog(), settles: settle}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Lanes(ctx, "", func(ctx context.Context, p broker.Partition) { r.read(ctx, p) }); err != nil {
			tb.Error(err)
		}
	}()
	r.stop = func() { cancel(); <-done }
	tb.Cleanup(r.stop)
	return r
}

func (r *relay) read(ctx context.Context, p broker.Partition) {
	r.count(1)
	defer r.count(-1)
	for {
		deliveries, err := p.Fetch(ctx, 100, 1<<20)
		if err != nil {
			return
		}
		var done []uint64
		r.mu.Lock()
		for _, d := range deliveries {
			r.values = append(r.values, string(d.Value))
			r.log.see(d.Key, string(d.Value))
			done = append(done, d.Sequence)
		}
		r.mu.Unlock()
		if r.settles && p.Settle(ctx, broker.Settlement{Done: done}) != nil {
			return
		}
	}
}

func (r *relay) wait(tb testing.TB, want ...string) {
	tb.Helper()
	testenv.Eventually(tb, 30*time.Second, func() error {
		if got := r.got(); !slices.Equal(got, want) {
			return fmt.Errorf("the relay has %q, want %q", got, want)
		}
		return nil
	})
}

func (r *relay) waitOwned(tb testing.TB, want int) {
	tb.Helper()
	testenv.Eventually(tb, 30*time.Second, func() error {
		if got := r.owned(); got != want {
			return fmt.Errorf("the relay has %d lanes, want %d", got, want)
		}
		return nil
	})
}

// begin begins a transaction that the test ends.
func begin(tb testing.TB, s *postgres.Store) pgx.Tx {
	tb.Helper()
	tx, err := s.Pool().Begin(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(tb.Context())) })
	return tx
}

func commit(tb testing.TB, tx pgx.Tx) {
	tb.Helper()
	if err := tx.Commit(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

func publishJoined(tb testing.TB, s *postgres.Store, tx pgx.Tx, rows ...store.Row) {
	tb.Helper()
	if err := s.Join(tx).StoreTx().Append(tb.Context(), rows...); err != nil {
		tb.Fatal(err)
	}
}

// A row whose id is older than rows that were read long ago.
func TestALateLowerIDIsDelivered(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	r := startRelay(t, s, true)
	late := begin(t, s)
	publishJoined(t, s, late, message("a", "1"))
	appendRows(t, s, message("b", "2"))
	r.wait(t, "2")
	commit(t, late)
	r.wait(t, "2", "1")
}

// The order of transactions' numbers is not that of their commits.
func TestATransactionWithAnOlderNumberThatCommitsLaterComesLater(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	older := begin(t, s)
	if _, err := older.Exec(t.Context(), `SELECT pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}
	appendRows(t, s, message("a", "1"))
	publishJoined(t, s, older, message("a", "2"))
	commit(t, older)
	startRelay(t, s, true).wait(t, "1", "2")
}

// Rows that come late while a backlog is read in pieces, more of them than fit into a piece.
func TestLateRowsInTheMiddleOfABacklog(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	s.ReadAtOnce(3)
	late, want := begin(t, s), []string{}
	for n := range 20 {
		publishJoined(t, s, late, message("a", strconv.Itoa(n+1)))
		want = append(want, strconv.Itoa(n+1))
	}
	for n := range 50 {
		appendRows(t, s, message("b", strconv.Itoa(n+1)))
	}
	r := startRelay(t, s, false)
	testenv.Eventually(t, 30*time.Second, func() error {
		if len(r.got()) < 3 {
			return errors.New("nothing has been read")
		}
		return nil
	})
	commit(t, late)
	testenv.Eventually(t, 30*time.Second, func() error {
		if n := len(r.got()); n != 70 {
			return fmt.Errorf("%d rows have come, want 70", n)
		}
		return nil
	})
	if r.log.inverted+r.log.again > 0 || r.log.lost(map[string]int{"a": 20, "b": 50}) > 0 {
		t.Errorf("%d rows were inverted, %d came again: %q, want those of a in the order %q", r.log.inverted, r.log.again, r.got(), want)
	}
}

func TestLanesAreShared(t *testing.T) {
	t.Parallel()
	cfg := postgres.Config{Schema: newSchema(t)}
	first := open(t, testenv.Postgres(t), cfg)
	if err := first.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := startRelay(t, first, true)
	a.waitOwned(t, 16)
	b := startRelay(t, open(t, testenv.Postgres(t), cfg), true)
	b.waitOwned(t, 8)
	a.waitOwned(t, 8)
	c := startRelay(t, open(t, testenv.Postgres(t), cfg), true)
	testenv.Eventually(t, 30*time.Second, func() error {
		if n := []int{a.owned(), b.owned(), c.owned()}; n[0] > 6 || n[1] > 6 || n[2] < 4 || n[0]+n[1]+n[2] != 16 {
			return fmt.Errorf("the relays have %d lanes", n)
		}
		return nil
	})
	c.stop()
	left := time.Now()
	b.stop()
	a.waitOwned(t, 16)
	if took := time.Since(left); took > 5*time.Second {
		t.Errorf("the lanes of relays that stopped were free after %v, and should be at once", took)
	}
}

// The lanes of two queues are two things, and a queue of a group has one lane.
func TestAGroupsQueueHasOneLane(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	retried := message("k", "1")
	retried.Queue = `shop."mailer" \ {x}` + "\x00"
	appendRows(t, s, retried, message("k", "2"))
	startRelay(t, s, true).wait(t, "2")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	calls := 0
	err := s.Lanes(ctx, retried.Queue, func(ctx context.Context, p broker.Partition) {
		calls++
		deliveries, err := p.Fetch(ctx, 10, 1<<20)
		if err != nil || len(deliveries) != 1 || string(deliveries[0].Value) != "1" {
			t.Errorf("fetched %v, %v", deliveries, err)
			return
		}
		if err := p.Settle(ctx, broker.Settlement{Done: []uint64{deliveries[0].Sequence}}); err != nil {
			t.Error(err)
		}
		cancel()
	})
	if err != nil || calls != 1 {
		t.Errorf("there were %d lanes, %v", calls, err)
	}
	for r := range s.List(t.Context(), store.Filter{}) {
		t.Errorf("row %d is left", r.ID)
	}
}

// What the reader believes dies with its session, and so do the lanes; then they begin anew.
func TestTheSessionsAreLost(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{Log: slog.New(slog.DiscardHandler)})
	w := newLoad(t, s)
	r := startRelay(t, s, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var killing sync.WaitGroup
	kills := 0
	killing.Go(func() {
		for ctx.Err() == nil {
			pass(ctx, 300*time.Millisecond)
			reading, writing := s.ReaderSessions()
			victim := reading
			if kills%2 == 1 {
				victim = writing
			}
			if victim != 0 {
				run(t, testenv.Postgres(t), `SELECT pg_terminate_backend(`+strconv.Itoa(int(victim))+`)`)
				kills++
			}
		}
	})
	w.write(ctx, 2*time.Second)
	cancel()
	killing.Wait()
	committed := w.committed()
	testenv.Eventually(t, 30*time.Second, func() error { return missing(r.log, committed) })
	r.stop()
	r.log.wantAll(t, fmt.Sprintf("a relay whose sessions were killed %d times", kills), committed)
	if kills < 2 {
		t.Errorf("only %d sessions were killed", kills)
	}
}

// A row that is there without anybody having seen it come can only be made by hand. The sweep finds it.
func TestTheSweepFindsWhatTheReaderMissed(t *testing.T) {
	t.Parallel()
	logged := &counter{}
	s := ready(t, postgres.Config{Log: slog.New(logged)})
	s.SweepEvery(50 * time.Millisecond)
	r := startRelay(t, s, true)
	appendRows(t, s, message("a", "1"))
	r.wait(t, "1")
	if s.Missed() != 0 {
		t.Fatalf("%d rows were missed already", s.Missed())
	}
	run(t, testenv.Postgres(t), `INSERT INTO `+schemaOf(s)+`.outbox (txid, lane, slot, topic, key, dedup, source, message_id, headers, history, value)
		VALUES ('3', 5, 0, 'orders', 'a', '', '', '', '', '', '2')`)
	r.wait(t, "1", "2")
	if s.Missed() != 1 || logged.errors() != 1 {
		t.Errorf("%d rows were missed and %d errors logged, want 1 and 1", s.Missed(), logged.errors())
	}
}

// counter counts what is logged as an error.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) errors() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) Enabled(context.Context, slog.Level) bool { return true }
func (c *counter) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *counter) WithGroup(string) slog.Handler            { return c }

func (c *counter) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Level >= slog.LevelError {
		c.n++
	}
	return nil
}

func TestLanesRefuseAPoolerOfTransactions(t *testing.T) {
	t.Parallel()
	cfg := postgres.Config{Schema: newSchema(t)}
	server := pooled(t) + "&default_query_exec_mode=cache_describe"
	s := open(t, server, cfg)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := s.Lanes(t.Context(), "", func(context.Context, broker.Partition) { t.Error("a lane was offered") })
	if err == nil || !strings.Contains(err.Error(), "Config.Direct") {
		t.Errorf("Lanes returned %v, want an error that names Config.Direct", err)
	}
}

func TestLanesOfADatabaseThatIsNotMigrated(t *testing.T) {
	t.Parallel()
	s := open(t, testenv.Postgres(t), postgres.Config{Schema: newSchema(t)})
	err := s.Lanes(t.Context(), "", func(context.Context, broker.Partition) { t.Error("a lane was offered") })
	if !errors.Is(err, store.ErrNotMigrated) {
		t.Errorf("Lanes returned %v, want %v", err, store.ErrNotMigrated)
	}
}
