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

// listQuery is the query for one page: an arm for the outbox and some for the letters, each in the order of an index. It is empty when f wants
// no rows of any table.
func listQuery(f store.Filter) (query string, args []any) {
	args = []any{f.After}
	limit := " ORDER BY id LIMIT " + strconv.Itoa(f.Limit)
	outbox, letters := "", ""
	if f.Key != "" {
		args = append(args, encodeText(f.Key))
		outbox = " AND key = $2"
		letters = outbox + " AND left(key, 200) = left($2, 200) AND key <> ''" // as the index has it
	}
	var arms []string
	if (f.Queues == nil || slices.Contains(f.Queues, "")) && (f.States == nil || slices.Contains(f.States, store.Ready)) {
		arms = append(arms, `(SELECT id, '' AS queue, 0::smallint AS state, NULL::timestamptz AS due, `+rowColumns+
			` FROM {schema}.outbox WHERE id > $1`+outbox+limit+`)`)
	}
	switch len(f.Queues) {
	case 0:
	case 1: // In the order of an index only with one queue and one state.
		args = append(args, encodeText(f.Queues[0]))
		letters += " AND queue = $" + strconv.Itoa(len(args)) + "::text"
	default:
		queues := make([]string, len(f.Queues))
		for i, q := range f.Queues {
			queues[i] = encodeText(q)
		}
		args = append(args, queues)
		letters += " AND queue = ANY($" + strconv.Itoa(len(args)) + "::text[])"
	}
	if f.Queues == nil || len(f.Queues) > 0 {
		for _, states := range statesOf(f) {
			arms = append(arms, `(SELECT id, queue, state, due, `+rowColumns+` FROM {schema}.letters WHERE id > $1`+letters+states+limit+`)`)
		}
	}
	switch len(arms) {
	case 0:
		return "", nil
	case 1:
		return arms[0], args
	}
	return strings.Join(arms, " UNION ALL ") + limit, args
}

// statesOf are the conditions for the states that f wants, written as numbers, so that PostgreSQL sees which of the partial indexes fits. With a
// key it is one condition, since the index of keys has all states.
func statesOf(f store.Filter) (conditions []string) {
	states := slices.Compact(slices.Sorted(slices.Values(f.States)))
	if f.States == nil {
		if f.Queues == nil || f.Key != "" {
			return []string{""}
		}
		states = []store.State{store.Ready, store.Dead, store.Held}
	}
	numbers := make([]string, len(states))
	for i, state := range states {
		numbers[i] = strconv.Itoa(int(state))
		if state == store.Ready {
			conditions = append(conditions, " AND state = 0 AND due IS NULL AND id > 0", " AND state = 0 AND due IS NOT NULL")
		} else {
			conditions = append(conditions, " AND state = "+numbers[i])
		}
	}
	if f.Key != "" && len(states) > 0 {
		return []string{" AND state + 0 IN (" + strings.Join(numbers, ", ") + ")"} // "+ 0" keeps the other indexes away
	}
	return conditions
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
