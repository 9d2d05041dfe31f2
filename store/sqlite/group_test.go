package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

// member is a function of a group.
type member func(ctx context.Context, tx *sqlite.Tx) error

// grouped opens a store with tables, and runs the members in one group: all of them wait, in their order, for one transaction to end.
func grouped(t *testing.T, members ...member) (s *sqlite.Store, results []error) {
	t.Helper()
	s = open(t, filepath.Join(t.TempDir(), "test.db"))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, s, `CREATE TABLE parents (id INTEGER PRIMARY KEY) STRICT`)
	exec(t, s, `CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED) STRICT`)

	results = make([]error, len(members))
	var running sync.WaitGroup
	err := s.InTx(t.Context(), func(context.Context, store.Native) error {
		for i, m := range members {
			running.Go(func() {
				results[i] = errors.New("it never returned")
				results[i] = s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return m(ctx, native(tx)) })
			})
			for s.Waiting() <= i {
				runtime.Gosched()
			}
		}
		<-time.After(10 * time.Millisecond) // A group lets nobody in after this time: so this function is not one of it.
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	running.Wait()
	return s, results
}

// insert writes a parent, and appends a row whose value is the same number.
func insert(id int) member {
	return func(ctx context.Context, tx *sqlite.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO parents (id) VALUES ($1)`, id); err != nil {
			return err
		}
		return tx.StoreTx().Append(ctx, store.Row{Record: broker.Record{Value: fmt.Append(nil, id)}})
	}
}

// check compares the tables with what the members were told.
func check(t *testing.T, s *sqlite.Store, results []error, wantFailed ...int) {
	t.Helper()
	want := []string{}
	for i, err := range results {
		if failed := slices.Contains(wantFailed, i); failed != (err != nil) {
			t.Errorf("member %d: %v, want failed = %v", i, err, failed)
		}
		if err == nil {
			want = append(want, fmt.Sprint(i))
		}
	}
	rows := []string{}
	for r, err := range s.List(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, string(r.Record.Value))
	}
	if parents := column(t, s, `SELECT id FROM parents ORDER BY id`); !slices.Equal(parents, want) || !slices.Equal(rows, want) {
		t.Errorf("the tables have %q and the outbox %q, want %q", parents, rows, want)
	}
}

// column reads one column.
func column(t *testing.T, s *sqlite.Store, query string) []string {
	t.Helper()
	rows, err := s.DB().QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := []string{}
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestGroupMembersSeeThoseBefore(t *testing.T) {
	s, results := grouped(t, insert(0), func(ctx context.Context, tx *sqlite.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM parents`).Scan(&n); err != nil || n != 1 {
			return fmt.Errorf("%d parents are there: %w", n, err)
		}
		return insert(1)(ctx, tx)
	}, insert(2))
	check(t, s, results)
}

func TestGroupMemberThatFailsFailsAlone(t *testing.T) {
	s, results := grouped(t, insert(0), insert(0), insert(2), func(ctx context.Context, tx *sqlite.Tx) error {
		return errors.Join(insert(3)(ctx, tx), errors.New("the user's own error"))
	}, insert(4))
	check(t, s, results, 1, 3)
}

func TestGroupMemberWithDeferredForeignKeyFailsAlone(t *testing.T) {
	s, results := grouped(t, insert(0), func(ctx context.Context, tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO children (parent) VALUES (99)`)
		return errors.Join(err, insert(1)(ctx, tx))
	}, insert(2))
	check(t, s, results, 1)
}

func TestGroupMemberThatEndsItsGoroutineFailsAlone(t *testing.T) {
	s, results := grouped(t, insert(0), func(ctx context.Context, tx *sqlite.Tx) error {
		if err := insert(1)(ctx, tx); err != nil {
			return err
		}
		runtime.Goexit() // As t.FailNow does.
		return nil
	}, insert(2))
	check(t, s, results, 1)
}

// A statement must not be interrupted: SQLite would roll back the work of the others with it.
func TestGroupMemberWhoseContextEndsInAStatementFailsAlone(t *testing.T) {
	s, results := grouped(t, insert(0), func(ctx context.Context, tx *sqlite.Tx) error {
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		const long = `INSERT INTO children (id) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i FROM n`
		if _, err := tx.ExecContext(short, long); err != nil {
			return fmt.Errorf("the statement was interrupted: %w", err)
		}
		<-short.Done()
		_, err := tx.ExecContext(short, `INSERT INTO children (id) VALUES (0)`)
		return err
	}, insert(2))
	check(t, s, results, 1)
	if !errors.Is(results[1], context.DeadlineExceeded) {
		t.Errorf("the member's error is %v, want the end of its context", results[1])
	}
}

// A statement that rolls back the whole transaction takes with it those who came before. They must hear of it, and nothing may be half there.
func TestGroupThatIsRolledBackFailsTogether(t *testing.T) {
	s, results := grouped(t, insert(0), insert(1), func(ctx context.Context, tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR ROLLBACK INTO parents (id) VALUES (0)`)
		return err
	}, insert(3))
	if results[2] == nil || results[3] != nil {
		t.Errorf("the results are %v, want an error of the third and none of the last", results)
	}
	var failed []int // On a slow machine the group may have ended before the third: then only that fails.
	for i, err := range results {
		if err != nil {
			failed = append(failed, i)
		}
	}
	check(t, s, results, failed...)
}

// A statement that ends the transaction is a mistake, which must not do harm to those who come later.
func TestGroupThatIsCommittedByAMember(t *testing.T) {
	_, results := grouped(t, func(ctx context.Context, tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, `COMMIT`)
		return err
	}, insert(1))
	if results[0] == nil || results[1] != nil {
		t.Errorf("the results are %v, want an error and none", results)
	}
}

func TestTransactionThatWasKeptIsOver(t *testing.T) {
	var kept *sqlite.Tx
	s, results := grouped(t, func(_ context.Context, tx *sqlite.Tx) error {
		kept = tx
		return nil
	}, func(ctx context.Context, tx *sqlite.Tx) error {
		if _, err := kept.ExecContext(ctx, `INSERT INTO parents (id) VALUES (77)`); err == nil {
			t.Error("a transaction that is over wrote into that of another")
		}
		return insert(1)(ctx, tx)
	}, insert(2))
	results[0] = errors.New("it inserts nothing")
	check(t, s, results, 0)
}
