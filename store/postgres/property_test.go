package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

const (
	loadKeys    = 12
	loadWriters = 6
)

// load is transactions as they come in practice, each the next change of a key: they write something else first, wait for the key's row, are rolled
// back, have savepoints, and some take long. How many changes a key has had is in the user's own table, which is the truth.
type load struct {
	testing.TB
	s      *postgres.Store
	tables string // the user's schema
}

func newLoad(tb testing.TB, s *postgres.Store) *load {
	tb.Helper()
	w := &load{TB: tb, s: s, tables: newSchema(tb)}
	run(tb, testenv.Postgres(tb), `CREATE SCHEMA `+w.tables, `CREATE TABLE `+w.tables+`.counters (key text PRIMARY KEY, n integer NOT NULL)`,
		`CREATE TABLE `+w.tables+`.other (at timestamptz)`)
	for k := range loadKeys {
		run(tb, testenv.Postgres(tb), fmt.Sprintf(`INSERT INTO %s.counters VALUES ('key%d', 0)`, w.tables, k))
	}
	return w
}

// write runs transactions for a while.
func (w *load) write(ctx context.Context, d time.Duration) {
	w.Helper()
	deadline := time.Now().Add(d)
	var writers sync.WaitGroup
	for range loadWriters {
		writers.Go(func() {
			for time.Now().Before(deadline) {
				write := w.writeOne
				if rand.IntN(3) == 0 {
					write = w.writeJoined
				}
				if err := write(ctx); err != nil && !errors.Is(err, errUndo) {
					w.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	writers.Wait()
}

var errUndo = errors.New("undo")

func (w *load) writeOne(ctx context.Context) error {
	return w.s.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		if err := w.change(ctx, native(tx), tx.StoreTx()); err != nil {
			return err
		}
		return w.dawdle(ctx)
	})
}

// writeJoined is a transaction that writes its event before the end, so that its id is older than its commit.
func (w *load) writeJoined(ctx context.Context) error {
	return pgx.BeginFunc(ctx, w.s.Pool(), func(tx pgx.Tx) error {
		if err := w.change(ctx, tx, w.s.Join(tx).StoreTx()); err != nil {
			return err
		}
		return w.dawdle(ctx)
	})
}

func (w *load) change(ctx context.Context, tx pgx.Tx, part store.Tx) error {
	if rand.IntN(3) == 0 { // Its number is given now, long before it has the key.
		if _, err := tx.Exec(ctx, `INSERT INTO `+w.tables+`.other VALUES (now())`); err != nil {
			return err
		}
		pass(ctx, time.Duration(rand.IntN(10))*time.Millisecond)
	}
	if rand.IntN(5) == 0 { // A savepoint that comes to nothing.
		inner, err := tx.Begin(ctx)
		if err == nil {
			_, err = inner.Exec(ctx, `INSERT INTO `+w.tables+`.other VALUES (now())`)
		}
		if err = errors.Join(err, inner.Rollback(ctx)); err != nil {
			return err
		}
	}
	key := fmt.Sprint("key", rand.IntN(loadKeys))
	var n int
	if err := tx.QueryRow(ctx, `UPDATE `+w.tables+`.counters SET n = n + 1 WHERE key = $1 RETURNING n`, key).Scan(&n); err != nil {
		return err
	}
	if rand.IntN(4) == 0 {
		inner, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		if own, ok := inner.(*postgres.Tx); ok {
			part = own.StoreTx()
		}
		defer func() { _ = inner.Commit(ctx) }()
	}
	return part.Append(ctx, store.Row{Record: broker.Record{Topic: "orders", Key: key, Value: fmt.Append(nil, n)}})
}

// dawdle keeps the transaction open, now and then for long, and ends some of them badly.
func (w *load) dawdle(ctx context.Context) error {
	switch n := rand.IntN(100); {
	case n < 3:
		pass(ctx, time.Duration(100+rand.IntN(200))*time.Millisecond)
	case n < 30:
		pass(ctx, time.Duration(rand.IntN(5))*time.Millisecond)
	case n < 40:
		return errUndo
	}
	return nil
}

func pass(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// committed is how many changes each key has had.
func (w *load) committed() map[string]int {
	w.Helper()
	rows, err := w.s.Pool().Query(w.Context(), `SELECT key, n FROM `+w.tables+`.counters`)
	if err != nil {
		w.Fatal(err)
	}
	counts := map[string]int{}
	var key string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&key, &n}, func() error { counts[key] = n; return nil }); err != nil {
		w.Fatal(err)
	}
	return counts
}

// log is what came out, as a topic would have it.
type log struct {
	mu       sync.Mutex
	last     map[string]int
	seen     map[string]map[int]bool
	inverted int // first occurrences that came after a later one of their key
	again    int
}

func newLog() *log { return &log{last: map[string]int{}, seen: map[string]map[int]bool{}} }

func (l *log) see(key, value string) {
	n, err := strconv.Atoi(value)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil || n < l.last[key] && !l.seen[key][n]:
		l.inverted++
	case l.seen[key][n]:
		l.again++
	}
	if l.seen[key] == nil {
		l.seen[key] = map[int]bool{}
	}
	l.seen[key][n] = true
	l.last[key] = max(l.last[key], n)
}

// lost is how many changes are missing.
func (l *log) lost(committed map[string]int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, count := range committed {
		n += count - len(l.seen[key])
	}
	return n
}

func (l *log) wantAll(tb testing.TB, who string, committed map[string]int) {
	tb.Helper()
	lost := l.lost(committed)
	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	for _, n := range committed {
		total += n
	}
	tb.Logf("%s: %d committed, %d lost, %d inverted, %d again", who, total, lost, l.inverted, l.again)
	if lost != 0 || l.inverted != 0 || total < 100 {
		tb.Errorf("%s lost %d of %d rows and inverted %d", who, lost, total, l.inverted)
	}
}

// TestNothingIsLostOrInverted lets this package's reader and three that are wrong read the same rows at the same time. The wrong ones prove that
// the load bites. Nobody deletes anything.
func TestNothingIsLostOrInverted(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	w := newLoad(t, s)
	ours := newLog()
	wrong := map[string]func(tb testing.TB, pool *pgxpool.Pool, schema string) func() []row{
		"a cursor of ids": byID,
		"a cursor of transactions, behind the oldest open": byTransaction,
		"a cursor of ids and a sweep":                      byIDWithSweep,
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	readers.Go(func() {
		if err := s.Lanes(ctx, "", reading(ours, nil)); err != nil {
			t.Error(err)
		}
	})
	logs := map[string]*log{}
	writing, written := context.WithCancel(ctx)
	for name, reader := range wrong {
		l := newLog()
		logs[name] = l
		read := reader(t, s.Pool(), schemaOf(s))
		readers.Go(func() {
			for over := false; ; {
				for _, r := range read() {
					l.see(r.key, r.value)
				}
				if over {
					return
				}
				over = writing.Err() != nil
				pass(ctx, 3*time.Millisecond)
			}
		})
	}
	w.write(ctx, howLong(6*time.Second))
	committed := w.committed()
	testenv.Eventually(t, 30*time.Second, func() error { return missing(ours, committed) })
	written()
	cancel()
	readers.Wait()
	ours.wantAll(t, "the store", committed)
	if s.Missed() != 0 {
		t.Errorf("the sweep found %d rows", s.Missed())
	}
	for name, l := range logs {
		lost := l.lost(committed)
		t.Logf("%s: lost %d, inverted %d", name, lost, l.inverted)
		if lost+l.inverted == 0 {
			t.Errorf("%s: neither lost nor inverted anything: the load proves nothing", name)
		}
	}
}

func missing(l *log, committed map[string]int) error {
	if n := l.lost(committed); n > 0 {
		return fmt.Errorf("%d rows have not come", n)
	}
	return nil
}

// howLong is d, or much more where there is time.
func howLong(d time.Duration) time.Duration {
	if testenv.Soak() {
		return 10 * d
	}
	return d
}

// reading is a consumer that writes what it gets into a log. Settle says which rows to settle; nil is none.
func reading(l *log, settle func() bool) func(ctx context.Context, p broker.Partition) {
	return func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 1+rand.IntN(500), 1<<20)
			if err != nil {
				return
			}
			var done []uint64
			for _, d := range deliveries {
				l.see(d.Key, string(d.Value))
				if settle != nil && settle() {
					done = append(done, d.Sequence)
				}
			}
			if p.Settle(ctx, broker.Settlement{Done: done}) != nil {
				return
			}
		}
	}
}

// TestOrderSurvivesCrashesAndZombies runs two relays that both believe to own everything, over and over, and stops them at random, with part of what
// they have read deleted and part not.
func TestOrderSurvivesCrashesAndZombies(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{Log: slog.New(slog.DiscardHandler)})
	s.ReadAtOnce(3) // So that most answers are cut, also among rows that came late.
	w := newLoad(t, s)
	l := newLog()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var relays sync.WaitGroup
	var restarts atomic.Int64
	var steady atomic.Bool
	settle := func() bool { return steady.Load() || rand.IntN(3) > 0 }
	for range 2 {
		relays.Go(func() {
			for ctx.Err() == nil {
				life := time.Duration(50+rand.IntN(400)) * time.Millisecond
				if steady.Load() {
					life = time.Hour
				}
				alive, kill := context.WithTimeout(ctx, life)
				if err := s.LanesUnfenced(alive, reading(l, settle)); err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				kill()
				restarts.Add(1)
			}
		})
	}
	w.write(ctx, howLong(5*time.Second))
	steady.Store(true)
	committed := w.committed()
	testenv.Eventually(t, 30*time.Second, func() error {
		n := 0
		for range s.List(t.Context(), store.Filter{}) {
			n++
		}
		if n > 0 {
			return fmt.Errorf("%d rows are left", n)
		}
		return missing(l, committed)
	})
	cancel()
	relays.Wait()
	l.wantAll(t, "two relays at a time", committed)
	if l.again == 0 || restarts.Load() < 10 {
		t.Errorf("%d rows came again and there were %d restarts: nothing was disturbed", l.again, restarts.Load())
	}
}

// schemaOf is the schema of a store.
func schemaOf(s *postgres.Store) string {
	statement := s.Statements()["outbox tail"]
	_, after, _ := strings.Cut(statement, "FROM ")
	table, _, _ := strings.Cut(after, ".outbox")
	return table[strings.LastIndex(table, " ")+1:]
}
