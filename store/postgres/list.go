package postgres

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/internal/sqlrow"
	"github.com/tidings-go/tidings/store"
)

// List implements [store.Store].
func (s *Store) List(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	return sqlrow.List(f, func(page store.Filter) ([]store.Row, error) {
		found, err := s.listPage(ctx, page)
		return found, explain("list", err)
	})
}

func (s *Store) listPage(ctx context.Context, f store.Filter) ([]store.Row, error) {
	query, args := listQuery(f)
	if query == "" {
		return nil, ctx.Err()
	}
	rows, err := s.pool.Query(ctx, s.sql(query), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanRow)
}

// listQuery is the query for one page: that of the outbox, that of the letters, or both. It is empty when f wants no rows of any table.
func listQuery(f store.Filter) (query string, args []any) {
	args = []any{f.After}
	more := ""
	if f.Key != "" {
		args = append(args, encodeText(f.Key))
		more = " AND key = $2"
	}
	limit := " ORDER BY id LIMIT " + strconv.Itoa(f.Limit)
	var arms []string
	if (f.Queues == nil || slices.Contains(f.Queues, "")) && (f.States == nil || slices.Contains(f.States, store.Ready)) {
		arms = append(arms, `(SELECT id, '' AS queue, 0::smallint AS state, NULL::timestamptz AS due, `+rowColumns+
			` FROM {schema}.outbox WHERE id > $1`+more+limit+`)`)
	}
	if f.Key != "" {
		more += " AND left(key, 200) = left($2, 200) AND key <> ''" // as the index has it
	}
	if f.Queues != nil {
		queues := make([]string, len(f.Queues))
		for i, q := range f.Queues {
			queues[i] = encodeText(q)
		}
		args = append(args, queues)
		more += " AND queue = ANY($" + strconv.Itoa(len(args)) + "::text[])"
	}
	if f.States != nil {
		// As numbers, so that PostgreSQL sees which of the partial indexes fits.
		states := make([]string, len(f.States))
		for i, state := range f.States {
			states[i] = strconv.Itoa(int(state))
		}
		more += " AND state IN (" + strings.Join(states, ", ") + ")"
	}
	if (f.Queues == nil || len(f.Queues) > 0) && (f.States == nil || len(f.States) > 0) {
		arms = append(arms, `(SELECT id, queue, state, due, `+rowColumns+` FROM {schema}.letters WHERE id > $1`+more+limit+`)`)
	}
	switch len(arms) {
	case 0:
		return "", nil
	case 1:
		return arms[0], args
	}
	return strings.Join(arms, " UNION ALL ") + limit, args
}

// scanRow reads a row of List.
func scanRow(rows pgx.CollectableRow) (store.Row, error) {
	var r store.Row
	var state int16
	var due *time.Time
	var lane int16
	var headers []byte
	err := rows.Scan(&r.ID, &r.Queue, &state, &due, &lane, &r.Created, &r.Record.Topic, &r.Record.Key, &r.Record.ID, &r.Source, &r.MessageID,
		&headers, &r.History, &r.Record.Value)
	if err != nil {
		return r, err
	}
	for _, text := range []*string{&r.Queue, &r.Record.Topic, &r.Record.Key, &r.Record.ID, &r.Source, &r.MessageID} {
		*text = decodeText(*text)
	}
	r.State = store.State(state)
	if due != nil {
		r.Due = *due
	}
	if r.Record.Headers, err = sqlrow.DecodeHeaders(headers); err != nil {
		return r, fmt.Errorf("row %d: %w", r.ID, err)
	}
	return r, nil
}
