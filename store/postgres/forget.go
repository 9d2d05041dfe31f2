package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// daysBefore and daysAhead are the days around today that have partitions of their own for claims. A claim of another day is kept
	// in the default partition.
	daysBefore = 1
	daysAhead  = 3
	// forgetRows is how many claims one transaction deletes.
	forgetRows = 1000

	day = 24 * time.Hour
)

// forget makes partitions for the claims of days to come, and drops those of days that are longer ago than the retention. Claims without a
// partition of their own are deleted some at a time.
func (s *Store) forget(ctx context.Context) error {
	today, have, err := s.claimDays(ctx)
	if err != nil {
		return err
	}
	for d := today.Add(-daysBefore * day); !d.After(today.Add(daysAhead * day)); d = d.Add(day) {
		if !slices.Contains(have, d) {
			if err := s.makeDay(ctx, d); err != nil {
				return fmt.Errorf("make the partition of %s: %w", d.Format(time.DateOnly), err)
			}
		}
	}
	for _, d := range have {
		if d.Add(day + s.cfg.Retention).Before(today) {
			if err := s.dropDay(ctx, d); err != nil {
				return fmt.Errorf("drop the partition of %s: %w", d.Format(time.DateOnly), err)
			}
		}
	}
	for _, rest := range []string{".inbox_default", ".inbox_undated"} {
		if err := s.forgetOld(ctx, s.schema+rest); err != nil {
			return err
		}
	}
	return nil
}

// claimDays returns today by the database's clock, and the days that have a partition.
func (s *Store) claimDays(ctx context.Context) (today time.Time, have []time.Time, err error) {
	const names = `SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date, ARRAY(SELECT c.relname::text
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '{schema}.inbox'::regclass)`
	var partitions []string
	if err := s.pool.QueryRow(ctx, s.sql(names)).Scan(&today, &partitions); err != nil {
		return today, nil, err
	}
	for _, name := range partitions {
		if d, err := time.Parse(dayName, name); err == nil {
			have = append(have, d)
		}
	}
	return today, have, nil
}

// dayName is the name of a day's partition, as a layout of package time.
const dayName = "inbox_20060102"

func (s *Store) dayTable(d time.Time) string { return s.schema + "." + quoted(d.Format(dayName)) }

// makeDay makes the partition of a day, and moves the claims of that day there. Meanwhile nobody can write to the default partition.
func (s *Store) makeDay(ctx context.Context, d time.Time) error {
	table, from, to := s.dayTable(d), d.Format(time.DateOnly), d.Add(day).Format(time.DateOnly)
	err := s.underLock(ctx, s.schema+".inbox_default", func(tx pgx.Tx) error {
		for _, statement := range []string{
			`CREATE TABLE ` + table + ` (LIKE {schema}.inbox INCLUDING ALL)`,
			`WITH moved AS (DELETE FROM {schema}.inbox_default WHERE day = '` + from + `' RETURNING *) INSERT INTO ` + table + ` SELECT * FROM moved`,
			`ALTER TABLE {schema}.inbox ATTACH PARTITION ` + table + ` FOR VALUES FROM ('` + from + `') TO ('` + to + `')`,
		} {
			if _, err := tx.Exec(ctx, s.sql(statement)); err != nil {
				return err
			}
		}
		return nil
	})
	if hasCode(err, codeLockTimeout, codeTableExists) { // Later, or somebody else has.
		return nil
	}
	return err
}

// codeTableExists is PostgreSQL's error for a table that is there already.
const codeTableExists = "42P07"

// dropDay drops the partition of a day. It gives the room back in any case: dropping needs a lock of the whole table, which is not
// granted while long transactions hold claims.
func (s *Store) dropDay(ctx context.Context, d time.Time) error {
	table := s.dayTable(d)
	err := s.underLock(ctx, table, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `TRUNCATE `+table)
		return err
	})
	if err == nil {
		err = s.underLock(ctx, s.schema+".inbox", func(tx pgx.Tx) error {
			_, dropped := tx.Exec(ctx, `DROP TABLE `+table)
			return dropped
		})
	}
	if hasCode(err, codeLockTimeout, codeNoTable) {
		return nil
	}
	return err
}

// forgetOld deletes claims that are older than the retention.
func (s *Store) forgetOld(ctx context.Context, table string) error {
	const old = `DELETE FROM %[1]s WHERE ctid = ANY(ARRAY(SELECT ctid FROM %[1]s WHERE at < clock_timestamp() - $1::interval ORDER BY at LIMIT %[2]d))`
	for {
		done, err := s.pool.Exec(ctx, fmt.Sprintf(old, table, forgetRows), s.cfg.Retention)
		if err != nil || done.RowsAffected() < forgetRows {
			return err
		}
	}
}
