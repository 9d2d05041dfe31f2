package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

var errUser = errors.New("the user's own error")

// event is a row with a value.
func event(value string) store.Row {
	return store.Row{Record: broker.Record{Topic: "orders", Key: "42", Value: []byte(value)}}
}

// publish appends an event.
func publish(ctx context.Context, tb testing.TB, tx store.Native, value string) {
	tb.Helper()
	if err := tx.StoreTx().Append(ctx, event(value)); err != nil {
		tb.Errorf("append %s: %v", value, err)
	}
}

// inTx runs fn in a transaction of pgx.
func inTx(tb testing.TB, s *postgres.Store, fn func(ctx context.Context, tx *postgres.Tx) error) error {
	tb.Helper()
	return s.InTx(tb.Context(), func(ctx context.Context, tx store.Native) error { return fn(ctx, native(tx)) })
}

// wantEvents compares the values of all rows.
func wantEvents(tb testing.TB, s store.Store, want ...string) {
	tb.Helper()
	var got []string
	for r, err := range s.List(tb.Context(), store.Filter{}) {
		if err != nil {
			tb.Fatal(err)
		}
		got = append(got, string(r.Record.Value))
	}
	if !slices.Equal(got, want) {
		tb.Errorf("the rows are %q, want %q", got, want)
	}
}

func TestASavepointTakesItsEventsBack(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) error {
		publish(ctx, t, tx, "before")
		for _, result := range []error{errUser, nil} {
			err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
				sp, ok := inner.(*postgres.Tx)
				if !ok {
					t.Fatalf("the savepoint is a %T", inner)
				}
				publish(ctx, t, sp, fmt.Sprint("through the savepoint, ", result))
				publish(ctx, t, tx, fmt.Sprint("through the transaction, ", result))
				return result
			})
			if !errors.Is(err, result) {
				return err
			}
		}
		publish(ctx, t, tx, "after")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, "before", "through the savepoint, <nil>", "through the transaction, <nil>", "after")
}

func TestNestedSavepoints(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) error {
		outer, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		publish(ctx, t, tx, "outer")
		inner, err := outer.Begin(ctx)
		if err != nil {
			return err
		}
		publish(ctx, t, tx, "inner")
		if err := inner.Commit(ctx); err != nil {
			return err
		}
		if err := inner.Rollback(ctx); !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("Rollback after Commit returned %v", err)
		}
		if err := outer.Rollback(ctx); err != nil {
			return err
		}
		publish(ctx, t, tx, "last")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, "last")
}

// A statement that fails in a savepoint does not cost the transaction.
func TestAFailureInASavepoint(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) error {
		publish(ctx, t, tx, "kept")
		err := pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
			publish(ctx, t, tx, "dropped")
			_, err := sp.Exec(ctx, `SELECT 1/0`)
			return err
		})
		if err == nil {
			t.Error("dividing by zero succeeded")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, "kept")
}

func TestATransactionIsEndedByItsFunctionOnly(t *testing.T) {
	t.Parallel()
	for _, sqlDoor := range []bool{false, true} {
		s := ready(t, postgres.Config{SQL: sqlDoor})
		for statement, want := range map[string]string{"COMMIT": "ended by a statement", "ROLLBACK": "ended by a statement", "SELECT 1/0": "failed"} {
			err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
				publish(ctx, t, tx, statement)
				var nothing int
				_ = queryRow(ctx, tx, statement).Scan(&nothing)
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("after %s InTx returned %v, want that the transaction %s", statement, err, want)
			}
		}
		wantEvents(t, s)
	}
	s := ready(t, postgres.Config{})
	err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) error {
		if tx.Commit(ctx) == nil || tx.Rollback(ctx) == nil {
			t.Error("Commit or Rollback of a transaction of InTx was not refused")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnEndedTransactionRefusesStatements(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	var kept *postgres.Tx
	var savepoint pgx.Tx
	err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) (err error) {
		kept = tx
		savepoint, err = tx.Begin(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, tx := range map[string]pgx.Tx{"transaction": kept, "savepoint": savepoint} {
		_, executed := tx.Exec(t.Context(), `SELECT 1`)
		_, queried := tx.Query(t.Context(), `SELECT 1`) //nolint:sqlclosecheck // there are no rows
		_, begun := tx.Begin(t.Context())
		_, prepared := tx.Prepare(t.Context(), "one", `SELECT 1`)
		_, copied := tx.CopyFrom(t.Context(), pgx.Identifier{"x"}, []string{"y"}, pgx.CopyFromRows(nil))
		batch := &pgx.Batch{}
		batch.Queue(`SELECT 1`)
		for call, err := range map[string]error{
			"Exec": executed, "Query": queried, "QueryRow": tx.QueryRow(t.Context(), `SELECT 1`).Scan(), "Begin": begun, "Prepare": prepared,
			"CopyFrom": copied, "SendBatch": tx.SendBatch(t.Context(), batch).Close(),
		} {
			if !errors.Is(err, pgx.ErrTxClosed) {
				t.Errorf("%s of a %s that had ended returned %v, want pgx.ErrTxClosed", call, what, err)
			}
		}
	}
}

// trips counts how often a transaction waits for the server: what is sent with a context that has the counter.
type trips struct{ n atomic.Int64 }

func (c *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if ctx.Value(c) != nil {
		c.n.Add(1)
	}
	return ctx
}
func (c *trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *trips) TraceBatchStart(ctx context.Context, conn *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return c.TraceQueryStart(ctx, conn, pgx.TraceQueryStartData{})
}
func (c *trips) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *trips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func TestEventsCostNoRoundTrip(t *testing.T) {
	t.Parallel()
	for _, sqlDoor := range []bool{false, true} {
		counter := &trips{}
		cfg, err := pgxpool.ParseConfig(testenv.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		cfg.ConnConfig.Tracer = counter
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		s, err := postgres.New(t.Context(), pool, postgres.Config{Schema: newSchema(t), SQL: sqlDoor})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		cost := func(events int) int64 {
			before := counter.n.Load()
			err := s.InTx(context.WithValue(t.Context(), counter, true), func(ctx context.Context, tx store.Native) error {
				for i := range events {
					publish(ctx, t, tx, fmt.Sprint(i))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return counter.n.Load() - before
		}
		if without, with := cost(0), cost(3); without != with || without != 2 {
			t.Errorf("SQL %v: a transaction costs %d round trips, one with three events %d; want 2", sqlDoor, without, with)
		}
	}
}

// Two transactions lock two rows crosswise. PostgreSQL gives one of them up, and it is run again.
func TestDeadlocksAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, sqlDoor := range []bool{false, true} {
		f := fixture(t, postgres.Config{SQL: sqlDoor, Retries: 20})
		s := f.Open(t)
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		var runs atomic.Int64
		var both, crossing sync.WaitGroup
		crossing.Add(2)
		for _, keys := range [][]string{{"a", "b"}, {"b", "a"}} {
			first := true
			both.Go(func() {
				err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
					runs.Add(1)
					publish(ctx, t, tx, "once")
					if _, err := f.Next(ctx, tx, keys[0]); err != nil {
						return err
					}
					if first {
						first = false
						crossing.Done()
						crossing.Wait()
					}
					_, err := f.Next(ctx, tx, keys[1])
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if runs.Load() < 3 { // They may meet again.
			t.Errorf("SQL %v: the functions ran %d times, and there was no deadlock", sqlDoor, runs.Load())
		}
		wantEvents(t, s, "once", "once")
	}
}

func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	for retries, want := range map[int]int{-1: 1, 0: 4, 1: 2} {
		s := ready(t, postgres.Config{Retries: retries})
		runs := 0
		err := inTx(t, s, func(context.Context, *postgres.Tx) error {
			runs++
			return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: "40001"})
		})
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "40001" || runs != want {
			t.Errorf("Retries %d: the function ran %d times and InTx returned %v, want %d times and the error", retries, runs, err, want)
		}
	}
}

// Increments at the level serializable fail now and then, and all are there in the end.
func TestSerializable(t *testing.T) {
	t.Parallel()
	schema, user := newSchema(t), newSchema(t)
	url := testenv.Postgres(t) + "&default_transaction_isolation=serializable"
	run(t, url, `CREATE SCHEMA `+user, `CREATE TABLE `+user+`.n (n integer)`, `INSERT INTO `+user+`.n VALUES (0)`)
	s := open(t, url, postgres.Config{Schema: schema, Retries: 1000})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	const writers, each = 4, 5
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) error {
					if _, _, err := tx.StoreTx().Claim(ctx, "space", fmt.Sprint(w, i)); err != nil {
						return err
					}
					if _, err := tx.Exec(ctx, `UPDATE `+user+`.n SET n = (SELECT n FROM `+user+`.n) + 1`); err != nil {
						return err
					}
					publish(ctx, t, tx, "x")
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	var n, rows int
	err := s.Pool().QueryRow(t.Context(), `SELECT n, (SELECT count(*) FROM `+schema+`.outbox) FROM `+user+`.n`).Scan(&n, &rows)
	if err != nil || n != writers*each || rows != n {
		t.Errorf("the counter is %d and there are %d rows (%v), want %d", n, rows, err, writers*each)
	}
}

func TestRowsThatAreTooLarge(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{MaxBytes: 1000})
	large := event(strings.Repeat("x", 1000))
	large.MessageID = "0199"
	err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) error { return tx.StoreTx().Append(ctx, large) })
	if !errors.Is(err, broker.ErrTooLarge) || !strings.Contains(err.Error(), `"orders"`) || !strings.Contains(err.Error(), `"0199"`) {
		t.Errorf("Append returned %v, want broker.ErrTooLarge with topic and message", err)
	}
	large.State = store.Dead // What is dead already must be kept, whatever its size.
	if err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) error { return tx.StoreTx().Append(ctx, large) }); err != nil {
		t.Error(err)
	}
}

// Many make rows with one identity dead at the same time.
func TestDeadRowsThatMeet(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	dead := store.Row{Queue: "q", State: store.Dead, Source: "/s", MessageID: "1"}
	alive := dead
	alive.State = store.Ready
	ids := make([]int64, 0, 20)
	err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) error {
		return tx.StoreTx().Append(ctx, slices.Repeat([]store.Row{alive}, cap(ids))...)
	})
	if err != nil {
		t.Fatal(err)
	}
	for r := range s.List(t.Context(), store.Filter{}) {
		ids = append(ids, r.ID)
	}
	var moving sync.WaitGroup
	for _, id := range ids {
		moving.Go(func() {
			err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) error {
				_, err := tx.StoreTx().Move(ctx, store.Dead, id)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	moving.Wait()
	n := 0
	for range s.List(t.Context(), store.Filter{}) {
		n++
	}
	if n != 1 {
		t.Errorf("%d rows with one identity are dead, want 1", n)
	}
}
