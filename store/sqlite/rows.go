package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-go/tidings/internal/sqlrow"
	"github.com/tidings-go/tidings/store"
)

const columns = "queue, state, due, created, topic, key, dedup, source, message_id, headers, history, value"

// insertRows adds rows in their order. A dead row whose identity its queue has already is dropped, and so is a held one.
func insertRows(ctx context.Context, tx *sql.Tx, rows []store.Row) error {
	const insert = `INSERT INTO tidings_rows (` + columns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (queue, source, message_id) WHERE state = 1 AND message_id <> '' DO NOTHING`
	now := time.Now()
	for i := range rows {
		r := &rows[i]
		if r.State < store.Ready || r.State > store.Held {
			return fmt.Errorf("a row can't begin in the state %q", r.State)
		}
		if r.State == store.Held {
			if kept, err := isKept(ctx, tx, r); err != nil || kept {
				if err != nil {
					return err
				}
				continue
			}
		}
		_, err := tx.ExecContext(ctx, insert, r.Queue, int(r.State), dueNanos(r, now), now.UnixNano(), r.Record.Topic, r.Record.Key, r.Record.ID,
			r.Source, r.MessageID, sqlrow.EncodeHeaders(r.Record.Headers), notNil(r.History), notNil(r.Record.Value))
		if err != nil {
			return err
		}
	}
	return nil
}

// isKept reports whether r's queue has a dead or held row with r's identity.
func isKept(ctx context.Context, tx *sql.Tx, r *store.Row) (kept bool, err error) {
	const same = `SELECT 1 FROM tidings_rows WHERE queue = $1 AND source = $2 AND message_id = $3 AND message_id <> '' AND state = `
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (`+same+`1) OR EXISTS (`+same+`2)`, r.Queue, r.Source, r.MessageID).Scan(&kept)
	return kept, err
}

// dueNanos is until when r waits, or 0 when it doesn't.
func dueNanos(r *store.Row, now time.Time) int64 {
	if r.Due.After(now) {
		return r.Due.UnixNano()
	}
	return 0
}

// notNil makes nil an empty value, as the tables want it.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// moveRows changes the state of rows and returns how many of them there were.
func moveRows(ctx context.Context, tx *sql.Tx, to store.State, ids []int64) (int, error) {
	list := idList(ids)
	var done sql.Result
	var err error
	switch to {
	case store.Gone:
		done, err = tx.ExecContext(ctx, `DELETE FROM tidings_rows WHERE id IN (SELECT value FROM json_each($1))`, list)
	case store.Dead:
		done, err = tx.ExecContext(ctx, `UPDATE OR REPLACE tidings_rows SET state = 1, due = 0 WHERE id IN (SELECT value FROM json_each($1))`, list)
	case store.Held:
		done, err = tx.ExecContext(ctx, `UPDATE tidings_rows SET state = 2, due = 0 WHERE id IN (SELECT value FROM json_each($1))`, list)
	case store.Ready:
		var n int
		err = tx.QueryRowContext(ctx, `SELECT count(*) FROM tidings_rows WHERE id IN (SELECT value FROM json_each($1))`, list).Scan(&n)
		if err != nil {
			return 0, err
		}
		return n, requeueRows(ctx, tx, list)
	default:
		return 0, fmt.Errorf("there is no state %d", int(to))
	}
	if err != nil {
		return 0, err
	}
	n, err := done.RowsAffected()
	return int(n), err
}

// queuesOf are the queues that rows are in.
func queuesOf(ctx context.Context, tx *sql.Tx, ids []int64) (queues []string, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT DISTINCT queue FROM tidings_rows WHERE id IN (SELECT value FROM json_each($1))`, idList(ids))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var queue string
		if err := rows.Scan(&queue); err != nil {
			return nil, err
		}
		queues = append(queues, queue)
	}
	return queues, rows.Err()
}

// requeueRows gives rows that are dead or wait a place at the end of their queue, ordered by (due, id). The place is a new id, since readers go by id.
func requeueRows(ctx context.Context, tx *sql.Tx, list string) error {
	const these = `id IN (SELECT value FROM json_each($1)) AND (state <> 0 OR due > 0)`
	const again = `INSERT INTO tidings_rows (` + columns + `)
		SELECT queue, 0, 0, created, topic, key, dedup, source, message_id, headers, history, value
		FROM tidings_rows WHERE ` + these + ` ORDER BY tidings_rows.due, tidings_rows.id`
	if _, err := tx.ExecContext(ctx, again, list); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM tidings_rows WHERE `+these, list)
	return err
}

// idList writes ids as JSON, which SQLite reads as a table. So one prepared statement serves any number of them.
func idList[T int64 | uint64](ids []T) string {
	b, err := json.Marshal(ids)
	if err != nil || ids == nil { // Integers always encode; nil would be "null".
		return "[]"
	}
	return string(b)
}

// List implements [store.Store].
func (s *Store) List(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	return sqlrow.List(f, func(page store.Filter) ([]store.Row, error) {
		found, err := s.listPage(ctx, page)
		return found, explain("list", err)
	})
}

func (s *Store) listPage(ctx context.Context, f store.Filter) ([]store.Row, error) {
	query, args := listQuery(f)
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var page []store.Row
	for rows.Next() {
		r, err := scanRow(rows)
		if err != nil {
			return page, err
		}
		page = append(page, r)
	}
	return page, rows.Err()
}

// listQuery is the query for f: an arm for each state, each in the order of an index of its own. With a key it is one, since the index of keys has all states.
func listQuery(f store.Filter) (query string, args []any) {
	terms := []string{"id > $1"}
	args = []any{f.After}
	if f.Queues != nil {
		if f.Key != "" && !slices.Contains(f.Queues, "") {
			terms = append(terms, "queue <> ''") // as the index of keys has it
		}
		places := make([]string, len(f.Queues))
		for i, q := range f.Queues {
			args = append(args, q)
			places[i] = "$" + strconv.Itoa(len(args))
		}
		terms = append(terms, "queue IN ("+strings.Join(places, ", ")+")")
	}
	if f.Key != "" {
		args = append(args, f.Key)
		terms = append(terms, "key = $"+strconv.Itoa(len(args)))
	}
	where := strings.Join(terms, " AND ")
	arms := statesOf(f)
	for i, states := range arms {
		arms[i] = `SELECT id, ` + columns + ` FROM tidings_rows WHERE ` + where + states
	}
	return strings.Join(arms, " UNION ALL ") + ` ORDER BY id LIMIT ` + strconv.Itoa(f.Limit), args
}

// statesOf are the conditions for the states that f wants, written as numbers, so that SQLite sees which of its partial indexes fits.
func statesOf(f store.Filter) (conditions []string) {
	states := slices.Compact(slices.Sorted(slices.Values(f.States)))
	if f.States == nil {
		if f.Queues == nil || f.Key != "" {
			return []string{""}
		}
		states = []store.State{store.Ready, store.Dead, store.Held}
	}
	either := make([]string, len(states))
	for i, state := range states {
		either[i] = "state = " + strconv.Itoa(int(state))
		if state == store.Ready {
			conditions = append(conditions, " AND state = 0 AND due = 0", " AND state = 0 AND due > 0")
		} else {
			conditions = append(conditions, " AND "+either[i])
		}
	}
	if f.Key != "" || len(states) == 0 {
		return []string{" AND (" + cmp.Or(strings.Join(either, " OR "), "1 = 0") + ")"}
	}
	return conditions
}

// scanRow reads the row that rows stands on.
func scanRow(rows *sql.Rows) (store.Row, error) {
	var r store.Row
	var due, created int64
	var headers []byte
	err := rows.Scan(&r.ID, &r.Queue, &r.State, &due, &created, &r.Record.Topic, &r.Record.Key, &r.Record.ID, &r.Source, &r.MessageID,
		&headers, &r.History, &r.Record.Value)
	if err != nil {
		return r, err
	}
	if due > 0 {
		r.Due = time.Unix(0, due)
	}
	r.Created = time.Unix(0, created)
	if r.Record.Headers, err = sqlrow.DecodeHeaders(headers); err != nil {
		return r, fmt.Errorf("row %d: %w", r.ID, err)
	}
	return r, nil
}
