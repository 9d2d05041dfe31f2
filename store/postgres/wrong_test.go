package postgres_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// row is what the wrong readers read.
type row struct {
	id, txid   int64
	key, value string
}

func query(tb testing.TB, pool *pgxpool.Pool, sql string, args ...any) []row {
	tb.Helper()
	rows, err := pool.Query(context.WithoutCancel(tb.Context()), sql, args...)
	if err != nil {
		tb.Error(err)
		return nil
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (one row, err error) {
		var value []byte
		err = r.Scan(&one.id, &one.txid, &one.key, &value)
		one.value = string(value)
		return one, err
	})
	if err != nil {
		tb.Error(err)
	}
	return found
}

// byID takes what has a larger id than all before.
func byID(tb testing.TB, pool *pgxpool.Pool, schema string) func() []row {
	tb.Helper()
	var last int64
	return func() []row {
		found := query(tb, pool, `SELECT id, txid::text::bigint, key, value FROM `+schema+`.outbox WHERE id > $1 ORDER BY id`, last)
		for _, r := range found {
			last = r.id
		}
		return found
	}
}

// byTransaction orders by transaction, and takes only what is older than every transaction that is still open.
func byTransaction(tb testing.TB, pool *pgxpool.Pool, schema string) func() []row {
	tb.Helper()
	var last row
	return func() []row {
		found := query(tb, pool, `SELECT id, txid::text::bigint, key, value FROM `+schema+`.outbox WHERE (txid, id) > ($1::text::xid8, $2::bigint)
			AND txid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY txid, id`, strconv.FormatInt(last.txid, 10), last.id)
		for _, r := range found {
			last = r
		}
		return found
	}
}

// byIDWithSweep is byID that every now and then takes everything that it has not had.
func byIDWithSweep(tb testing.TB, pool *pgxpool.Pool, schema string) func() []row {
	tb.Helper()
	seen := map[int64]bool{}
	next := byID(tb, pool, schema)
	swept := time.Now()
	return func() (found []row) {
		found = next()
		if time.Since(swept) > 100*time.Millisecond {
			swept = time.Now()
			found = append(found, query(tb, pool, `SELECT id, txid::text::bigint, key, value FROM `+schema+`.outbox ORDER BY id`)...)
		}
		fresh := found[:0]
		for _, r := range found {
			if !seen[r.id] {
				seen[r.id] = true
				fresh = append(fresh, r)
			}
		}
		return fresh
	}
}
