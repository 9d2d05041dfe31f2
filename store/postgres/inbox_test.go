package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/store/postgres"
)

func TestDayOf(t *testing.T) {
	t.Parallel()
	const v7 = "01932c07-209c-7abc-8def-0123456789ab" // 2024-11-14T17:26:54.492Z
	day := time.Date(2024, 11, 14, 0, 0, 0, 0, time.UTC)
	none := time.Time{}
	for id, want := range map[string]time.Time{
		v7:                                     day,
		strings.ToUpper(v7):                    day,
		"/shop " + v7:                          day,
		"/with a space " + v7:                  day,
		"/shop\x00" + v7:                       day,
		"/shop-" + v7:                          none,
		"/shop " + v7 + " ":                    none,
		v7[1:]:                                 none,
		"":                                     none,
		"1":                                    none,
		"/shop 1":                              none,
		strings.Replace(v7, "7abc", "4abc", 1): none,
		strings.Replace(v7, "8def", "cdef", 1): none,
		strings.Replace(v7, "0193", "01g3", 1): none,
		strings.Replace(v7, "0193", "-193", 1): none,
		strings.Replace(v7, "-", "_", 1):       none,
		"00000000-0000-7000-8000-000000000000": time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		"/s 03bbda1f-0000-7000-8000-000000000000": time.UnixMilli(0x03bbda1f0000).UTC().Truncate(24 * time.Hour),
	} {
		if got := postgres.DayOf(id); !got.Equal(want) {
			t.Errorf("the day of %q is %v, want %v", id, got, want)
		}
	}
}

func FuzzDayOf(f *testing.F) {
	f.Add("/shop 01932c07-209c-7abc-8def-0123456789ab")
	f.Add("ffffffff-ffff-7fff-bfff-ffffffffffff")
	f.Fuzz(func(t *testing.T, id string) {
		day := postgres.DayOf(id)
		if !day.Equal(day.Truncate(24*time.Hour)) || day.Location() != time.UTC || day.Year() > 10889+1 {
			t.Errorf("the day of %q is %v", id, day)
		}
	})
}

// A claim is found whichever partitions there were when it was made, and whichever there are when it is looked for.
func TestClaimsAreFoundInAnyPartition(t *testing.T) {
	t.Parallel()
	schema := newSchema(t)
	s := openSchema(t, schema)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	exec := func(format string, args ...any) {
		t.Helper()
		if _, err := s.Pool().Exec(t.Context(), fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	claim := func(at time.Time, want bool) {
		t.Helper()
		stamp := fmt.Sprintf("%012x", at.UnixMilli())
		id := fmt.Sprintf("/shop %s-%s-7000-8000-000000000001", stamp[:8], stamp[8:])
		err := inTx(t, s, func(ctx context.Context, tx *postgres.Tx) error {
			first, _, err := tx.StoreTx().Claim(ctx, "group", id)
			if first != want {
				t.Errorf("claim of %s: first %v, want %v", id, first, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	where := func(at time.Time) (partition string) {
		t.Helper()
		err := s.Pool().QueryRow(t.Context(), `SELECT tableoid::regclass::text FROM `+schema+`.inbox WHERE day = $1`, at).Scan(&partition)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(partition, schema+".")
	}

	today, yesterday := midnight.Add(time.Second), midnight.Add(-time.Second)
	exec(`CREATE TABLE %s.inbox_yesterday PARTITION OF %[1]s.inbox FOR VALUES FROM ('%s') TO ('%s')`, schema,
		midnight.Add(-24*time.Hour).Format(time.DateOnly), midnight.Format(time.DateOnly))
	claim(yesterday, true)
	claim(today, true)
	if a, b := where(yesterday), where(today); a != "inbox_yesterday" || b != "inbox_default" {
		t.Errorf("the claims are in %s and %s", a, b)
	}
	claim(yesterday, false) // It is after midnight, for this message.
	exec(`CREATE TABLE %s.inbox_today (LIKE %[1]s.inbox INCLUDING ALL)`, schema)
	exec(`WITH late AS (DELETE FROM %s.inbox_default WHERE day = '%s' RETURNING *) INSERT INTO %[1]s.inbox_today SELECT * FROM late`,
		schema, midnight.Format(time.DateOnly))
	exec(`ALTER TABLE %s.inbox ATTACH PARTITION %[1]s.inbox_today FOR VALUES FROM ('%s') TO ('%s')`, schema,
		midnight.Format(time.DateOnly), midnight.Add(24*time.Hour).Format(time.DateOnly))
	claim(today, false)
	claim(yesterday, false)
}
