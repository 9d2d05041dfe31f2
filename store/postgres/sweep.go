package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// sweepRows is how many ids a sweep reads at a time.
const sweepRows = 5000

// Missed is how many rows this store's lanes did not read when they should have. It is always 0, or the log has an error that says more.
func (s *Store) Missed() int64 { return s.missed.Load() }

// sweep compares the tables with what the lanes know: every row that a lane must have read is one that it knows, or is gone. It finds nothing, unless a
// reader is wrong or somebody has changed rows by hand; so what it finds is an alarm. Such rows are delivered, later than they should have been.
func (k *link) sweep(ctx context.Context, readers []*reader) error {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	for _, r := range readers {
		lost, err := r.missed(ctx)
		if err != nil {
			return err
		}
		for l, n := range lost {
			k.s.missed.Add(int64(n))
			k.s.cfg.Log.LogAttrs(ctx, slog.LevelError, "a reader of the outbox has missed rows; it starts again, and their order may be wrong",
				slog.String("lane", l.name), slog.Int("rows", n))
			l.cover = coverage{}
			r.next = time.Time{}
		}
	}
	return nil
}

// missed counts the rows that lanes should know. Only lanes that have read everything are asked.
func (r *reader) missed(ctx context.Context) (map[*lane]int, error) {
	lanes := map[string]*lane{}
	var names []string
	for _, l := range r.all() {
		if l.cover.base != nil && l.cover.top() == nil {
			lanes[l.name] = l
			names = append(names, l.name)
		}
	}
	suspects := map[int64]*lane{}
	for after, more := int64(0), len(lanes) > 0; more; {
		rows, err := r.link.conn.Query(ctx, r.sql(`SELECT id, txid::text::bigint, {lane}::text FROM {table}
			WHERE id > $1 AND id > 0 AND {mine} ORDER BY id LIMIT $2`), after, sweepRows, string(textArray(names)))
		if err != nil {
			return nil, err
		}
		n := 0
		var id, txid int64
		var name string
		_, err = pgx.ForEachRow(rows, []any{&id, &txid, &name}, func() error {
			n, after = n+1, id
			if l := lanes[name]; l.cover.has(id, uint64(txid)) && !l.knows(id) {
				suspects[id] = l
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("sweep: %w", err)
		}
		more = n == sweepRows
	}
	return r.confirm(ctx, suspects)
}

// confirm asks again for rows that were missed: some have been deleted meanwhile.
func (r *reader) confirm(ctx context.Context, suspects map[int64]*lane) (map[*lane]int, error) {
	if len(suspects) == 0 {
		return nil, nil
	}
	ids := make([]int64, 0, len(suspects))
	for id := range suspects {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	rows, err := r.link.conn.Query(ctx, r.sql(`SELECT id FROM {table} WHERE id = ANY($1)`), ids)
	if err != nil {
		return nil, err
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	lost := map[*lane]int{}
	for _, id := range there {
		if l := suspects[id]; !l.knows(id) {
			lost[l]++
		}
	}
	return lost, err
}
