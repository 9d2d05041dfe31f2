package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/store"
)

var _ store.Admin = (*Store)(nil)

// Status implements [store.Admin]. It reads both tables, which takes a while when millions of rows wait.
func (s *Store) Status(ctx context.Context) (store.Status, error) {
	status, err := s.status(ctx)
	return status, explain("status", err)
}

func (s *Store) status(ctx context.Context) (status store.Status, err error) {
	steps, err := steps(s.schema)
	if err != nil {
		return status, err
	}
	status.Latest = len(steps)
	if status.Version, err = s.version(ctx, s.pool); err != nil || status.Version == 0 {
		return status, err
	}
	const last = `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {schema}.row_ids`
	if err = s.pool.QueryRow(ctx, s.sql(last)).Scan(&status.LastID); err != nil {
		return status, err
	}
	if status.Queues, err = s.queues(ctx); err != nil {
		return status, err
	}
	status.Lanes, err = s.owners(ctx)
	return status, err
}

func (s *Store) queues(ctx context.Context) ([]store.QueueStatus, error) {
	const count = `SELECT queue, count(*) FILTER (WHERE state = 0 AND due IS NULL), count(*) FILTER (WHERE state = 0 AND due IS NOT NULL),
			count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2), min(created) FILTER (WHERE state = 0 AND due IS NULL)
		FROM (SELECT '' AS queue, 0 AS state, NULL AS due, created FROM {schema}.outbox
			UNION ALL SELECT queue, state, due, created FROM {schema}.letters) all_rows
		GROUP BY queue ORDER BY queue COLLATE "C"`
	rows, err := s.pool.Query(ctx, s.sql(count))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (q store.QueueStatus, err error) {
		var oldest *time.Time
		err = row.Scan(&q.Queue, &q.Ready, &q.Scheduled, &q.Dead, &q.Held, &oldest)
		q.Queue = decodeText(q.Queue)
		if oldest != nil {
			q.Oldest = *oldest
		}
		return q, err
	})
}

func (s *Store) owners(ctx context.Context) ([]store.LaneStatus, error) {
	const owned = `SELECT queue, lane, owner::text, epoch, expires_at FROM {schema}.leases
		WHERE owner IS NOT NULL AND expires_at > clock_timestamp() ORDER BY queue COLLATE "C", lane`
	rows, err := s.pool.Query(ctx, s.sql(owned))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l store.LaneStatus, err error) {
		err = row.Scan(&l.Queue, &l.Lane, &l.Owner, &l.Epoch, &l.Until)
		l.Queue = decodeText(l.Queue)
		return l, err
	})
}

// Script implements [store.Admin]: [Migrations] of the store's schema.
func (s *Store) Script() string {
	script, _ := Migrations(s.cfg.Schema) // It fails only for names that New refuses.
	return script
}
