package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store/postgres"
)

// testPatience is how long anything may take on a loaded machine.
const testPatience = 30 * time.Second

func rotate(tb testing.TB, s *postgres.Store) {
	tb.Helper()
	if err := s.Rotate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// pages is how large the slots are.
func pages(tb testing.TB, s *postgres.Store) (sizes [3]int64) {
	tb.Helper()
	for slot := range sizes {
		sizes[slot] = one[int64](tb, s, `SELECT pg_relation_size($1::regclass)`, fmt.Sprintf("%s.outbox_%d", schemaOf(s), slot))
	}
	return sizes
}

func TestADrainedSlotIsEmptiedAtOnce(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{RotateBytes: 1})
	rotate(t, s)
	if s.Slot() != 0 {
		t.Errorf("an empty outbox was rotated to slot %d", s.Slot())
	}
	appendRows(t, s, message("a", "1"))
	rotate(t, s)
	appendRows(t, s, message("a", "2"))
	if s.Slot() != 1 || pages(t, s)[0] == 0 {
		t.Errorf("the slot is %d, and slot 0 with a row has %d bytes", s.Slot(), pages(t, s)[0])
	}

	// An old transaction keeps vacuum from freeing anything.
	old := begin(t, s)
	if _, err := old.Exec(t.Context(), `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1`, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	r := startRelay(t, s, true)
	testenv.Eventually(t, testPatience, func() error { return empty(t, s) })
	rotate(t, s)
	if sizes := pages(t, s); sizes[0] != 0 {
		t.Errorf("the slots have %d bytes, want the first to be empty", sizes)
	}
	r.wait(t, "1", "2")
}

// A writer that has not heard of the rotation has a row in the slot that is to be emptied.
func TestAStaleWriterLosesNothing(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{RotateBytes: 1})
	appendRows(t, s, message("a", "1"))
	rotate(t, s)
	r := startRelay(t, s, true)
	r.wait(t, "1")
	testenv.Eventually(t, testPatience, func() error { return empty(t, s) })

	s.BelieveSlot(0)
	stale := begin(t, s)
	publishJoined(t, s, stale, message("a", "2"))
	before := time.Now()
	rotate(t, s)
	if took := time.Since(before); pages(t, s)[0] == 0 {
		t.Fatalf("after %v the slot was emptied under a writer", took)
	}
	commit(t, stale)
	r.wait(t, "1", "2")

	// The row was committed after the look without a lock, and before that under it.
	s.BelieveSlot(0)
	appendRows(t, s, message("a", "3"))
	rotate(t, s)
	r.wait(t, "1", "2", "3")
	testenv.Eventually(t, testPatience, func() error { return empty(t, s) })
	rotate(t, s)
	if sizes := pages(t, s); sizes[0] != 0 {
		t.Errorf("the slots have %d bytes, want the first to be empty", sizes)
	}
}

// Rows go on and come out while slots are rotated as fast as they can be.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{RotateBytes: 1})
	s.ChoresEvery(20 * time.Millisecond)
	w := newLoad(t, s)
	r := startRelay(t, s, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slots := map[int16]bool{}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for ctx.Err() == nil {
			slots[s.Slot()] = true
			pass(ctx, 5*time.Millisecond)
		}
	}()
	w.write(ctx, howLong(2*time.Second))
	cancel()
	<-watched
	committed := w.committed()
	testenv.Eventually(t, testPatience, func() error { return missing(r.log, committed) })
	r.stop()
	r.log.wantAll(t, "a relay of an outbox that rotates", committed)
	if len(slots) < 3 {
		t.Errorf("only the slots %v were used", slots)
	}
}

func TestClaimsHaveDays(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{Retention: 48 * time.Hour})
	schema := schemaOf(s)
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	claim := func(key, day, at string) {
		run(t, testenv.Postgres(t), fmt.Sprintf(`INSERT INTO %s.inbox (key, day, at) VALUES ('%s', '%s', '%s')`, schema, key, day, at))
	}
	claim("tomorrow", day(1), day(0)) // There is no partition yet: it goes to the default one.
	claim("stray", day(30), day(0))
	claim("no day", "0001-01-01", day(0))
	for range 2 {
		if err := s.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	where := func(key string) string {
		return one[string](t, s, `SELECT replace(tableoid::regclass::text, '"', '') FROM `+schema+`.inbox WHERE key = $1::text::bytea`, key)
	}
	name := func(days int) string {
		return strings.Trim(schema, `"`) + ".inbox_" + time.Now().UTC().AddDate(0, 0, days).Format("20060102")
	}
	claim("today", day(0), day(0))
	got := []string{where("tomorrow"), where("stray"), where("no day"), where("today")}
	want := []string{name(1), strings.Trim(schema, `"`) + ".inbox_default", strings.Trim(schema, `"`) + ".inbox_undated", name(0)}
	if !slices.Equal(got, want) {
		t.Errorf("the claims are in %q, want %q", got, want)
	}

	// What is older than the retention goes, with its partition or without.
	run(t, testenv.Postgres(t), fmt.Sprintf(`CREATE TABLE %[1]s."inbox_20200101" PARTITION OF %[1]s.inbox FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')`, schema))
	claim("old", "2020-01-01", "2020-01-01")
	claim("old stray", "2020-01-05", "2020-01-05")
	claim("old no day", "0001-01-01", day(-5))
	if err := s.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := one[int](t, s, `SELECT count(*) FROM `+schema+`.inbox`); n != 4 {
		t.Errorf("%d claims are left, want 4", n)
	}
	if there := one[bool](t, s, `SELECT to_regclass($1) IS NOT NULL`, schema+".inbox_20200101"); there {
		t.Error("the partition of the year 2020 is still there")
	}
}
