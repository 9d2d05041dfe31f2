package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// lockTime is how long emptying a slot waits for its lock, and makes others wait behind it.
const lockTime = 50 * time.Millisecond

// slot is where new rows of the outbox go. It may be that of a moment ago: a slot that is to be emptied is looked into again under a lock.
func (s *Store) slot() int16 {
	wake(s.written)
	return int16(s.current.Load())
}

// rotate moves on to the next slot when the current one is large or old, and empties those that were drained: vacuum can't free what an old
// transaction may still want to see, but TRUNCATE can.
func (s *Store) rotate(ctx context.Context) error {
	const state = `SELECT slot, extract(epoch FROM clock_timestamp() - slot_at)::float8, ` +
		`pg_total_relation_size($1::regclass), pg_total_relation_size($2::regclass), pg_total_relation_size($3::regclass), ` +
		`pg_relation_size($1::regclass), pg_relation_size($2::regclass), pg_relation_size($3::regclass) FROM {schema}.meta`
	var current int16
	var age float64
	var total, heap [slots]int64
	err := s.pool.QueryRow(ctx, s.sql(state), s.partition(0), s.partition(1), s.partition(2)).
		Scan(&current, &age, &total[0], &total[1], &total[2], &heap[0], &heap[1], &heap[2])
	if err != nil {
		return err
	}
	s.current.Store(int32(current))
	for slot := range int16(slots) {
		if slot != current && heap[slot] > 0 {
			if err = s.empty(ctx, slot); err != nil {
				return err
			}
		}
	}
	next := (current + 1) % slots
	old := time.Duration(age*float64(time.Second)) > s.cfg.RotateEvery
	if heap[current] == 0 || heap[next] > 0 || (total[current] < s.cfg.RotateBytes && !old) {
		return nil
	}
	_, err = s.pool.Exec(ctx, s.sql(`UPDATE {schema}.meta SET slot = $1, slot_at = clock_timestamp() WHERE slot = $2`), next, current)
	if err == nil {
		s.current.Store(int32(next))
	}
	return err
}

func (s *Store) partition(slot int16) string { return fmt.Sprintf("%s.outbox_%d", s.schema, slot) }

// empty truncates a slot if there is no row in it. A writer that still takes the slot for the current one either has committed, and then its
// row is found by the second look, or it has not, and keeps the lock from being granted: then there is a next time. The first look goes
// through all that is there, so it is without the lock; the second asks an index for what has become visible since.
func (s *Store) empty(ctx context.Context, slot int16) error {
	const first = `SELECT pg_snapshot_xmax(c)::text, ARRAY(SELECT pg_snapshot_xip(c))::text, EXISTS (SELECT FROM %s) FROM pg_current_snapshot() AS c`
	const second = `SELECT EXISTS (SELECT FROM %[1]s WHERE txid >= $1::text::xid8) OR EXISTS (SELECT FROM %[1]s WHERE txid = ANY($2::text::xid8[]))`
	table := s.partition(slot)
	var xmax, running string
	var used bool
	err := s.pool.QueryRow(ctx, fmt.Sprintf(first, table)).Scan(&xmax, &running, &used)
	if err != nil || used {
		return err
	}
	err = s.underLock(ctx, table, func(tx pgx.Tx) error {
		_, failed := tx.Exec(ctx, `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)`)
		if failed == nil {
			failed = tx.QueryRow(ctx, fmt.Sprintf(second, table), xmax, running).Scan(&used)
		}
		if failed == nil && !used {
			_, failed = tx.Exec(ctx, `TRUNCATE `+table)
		}
		return failed
	})
	if hasCode(err, codeLockTimeout) {
		return nil
	}
	return err
}

// codeLockTimeout is PostgreSQL's error for a lock that was not granted in time.
const codeLockTimeout = "55P03"

// underLock runs fn in a transaction that has a table for itself. It fails with [codeLockTimeout] rather than make others wait long.
func (s *Store) underLock(ctx context.Context, table string, fn func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, strconv.FormatInt(lockTime.Milliseconds(), 10))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `LOCK TABLE `+table+` IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		return fn(tx)
	})
}

// followSlot keeps this process's writers on the current slot, until ctx ends: it looks once a second while there are some.
func (s *Store) followSlot(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.written:
		}
		var current int16
		if err := s.pool.QueryRow(ctx, s.sql(`SELECT slot FROM {schema}.meta`)).Scan(&current); err == nil {
			s.current.Store(int32(current))
		} else if ctx.Err() == nil { // It does no harm: rotation takes longer.
			s.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "the outbox's current slot could not be read", slog.Any("error", err))
		}
		if pause(ctx, time.Second) != nil {
			return
		}
	}
}
