package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tidings-go/tidings/internal/sqlrow"
	"github.com/tidings-go/tidings/store"
)

// rowColumns are what outbox and letters have in common besides txid and id.
const rowColumns = "lane, created, topic, key, dedup, source, message_id, headers, history, value"

// identity is a hash of what may be there once among the dead rows of a queue.
const identity = `CASE WHEN message_id <> '' THEN sha256(sha256(convert_to(queue, 'UTF8')) || sha256(convert_to(source, 'UTF8')) ||
	sha256(convert_to(message_id, 'UTF8'))) END`

// sql puts the schema into a statement.
func (s *Store) sql(statement string) string {
	return strings.ReplaceAll(statement, "{schema}", s.schema)
}

// statement is one with its arguments.
type statement struct {
	query string
	args  []any
}

// writing is what it takes to write some rows: one statement, or more if some of them go to the outbox and some to the letters.
type writing struct {
	statements []statement
	// toOutbox says that the outbox becomes larger, ready that somebody has something to do.
	toOutbox, ready bool
}

// writes divides rows between the tables. Their ids follow their order, whichever table they go to.
func (s *Store) writes(rows []store.Row) writing {
	now := time.Now()
	isLetter := func(r *store.Row) bool { return r.Queue != "" || r.State != store.Ready || r.Due.After(now) }
	var w writing
	for len(rows) > 0 {
		letters, n := isLetter(&rows[0]), 0
		for n < len(rows) && isLetter(&rows[n]) == letters {
			w.ready = w.ready || rows[n].State == store.Ready
			n++
		}
		if letters {
			w.statements = append(w.statements, s.insertLetters(rows[:n], now))
		} else {
			w.toOutbox = true
			w.statements = append(w.statements, s.insertOutbox(rows[:n]))
		}
		rows = rows[n:]
	}
	return w
}

// insertOutbox is one statement for any number of rows. One row alone, as most transactions have it, costs the server half as much in a simpler one.
// The ids of several come from a default that is evaluated above the sort, so they follow the order of the rows.
func (s *Store) insertOutbox(rows []store.Row) statement {
	const one = `INSERT INTO {schema}.outbox (slot, lane, topic, key, dedup, source, message_id, headers, history, value)
		VALUES ($1::smallint, $2::smallint, $3::text, $4::text, $5::text, $6::text, $7::text, $8::bytea, $9::bytea, $10::bytea)`
	const several = `INSERT INTO {schema}.outbox (slot, lane, topic, key, dedup, source, message_id, headers, history, value)
		SELECT $1::smallint, lane, topic, key, dedup, source, message_id, headers, history, value
		FROM unnest($2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::bytea[], $10::bytea[])
		WITH ORDINALITY AS u (lane, topic, key, dedup, source, message_id, headers, history, value, n) ORDER BY n`
	if len(rows) == 1 {
		lane, text, bytes := columnsOf(&rows[0])
		return statement{s.sql(one), []any{s.slot(), lane, text[0], text[1], text[2], text[3], text[4], bytes[0], bytes[1], bytes[2]}}
	}
	return statement{s.sql(several), append([]any{s.slot()}, arraysOf(rows)...)}
}

func (s *Store) insertLetters(rows []store.Row, now time.Time) statement {
	const insert = `INSERT INTO {schema}.letters (queue, state, due, lane, topic, key, dedup, source, message_id, headers, history, value, identity)
		SELECT queue, state, due, lane, topic, key, dedup, source, message_id, headers, history, value, identity
		FROM (SELECT *, ` + identity + ` AS identity FROM unnest($1::text[], $2::smallint[], $3::timestamptz[],
			$4::smallint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bytea[], $11::bytea[], $12::bytea[])
			WITH ORDINALITY AS u (queue, state, due, lane, topic, key, dedup, source, message_id, headers, history, value, n)) r
		WHERE state <> 2 OR NOT EXISTS (SELECT FROM {schema}.letters l WHERE l.identity = r.identity AND l.state = 1)
			AND NOT EXISTS (SELECT FROM {schema}.letters l WHERE l.identity = r.identity AND l.state = 2)
		ORDER BY n
		ON CONFLICT (identity) WHERE state = 1 DO NOTHING`
	queues, states, dues := make([]string, len(rows)), make([]int16, len(rows)), make([]*time.Time, len(rows))
	for i := range rows {
		r := &rows[i]
		queues[i], states[i] = encodeText(r.Queue), int16(r.State)
		if r.State == store.Ready && r.Due.After(now) {
			dues[i] = &r.Due
		}
	}
	return statement{s.sql(insert), append([]any{queues, states, dues}, arraysOf(rows)...)}
}

// columnsOf are a row's lane; its topic, key, deduplication id, source and message id; its headers, history and value.
func columnsOf(r *store.Row) (lane int16, text [5]string, bytes [3][]byte) {
	text = [...]string{r.Record.Topic, r.Record.Key, r.Record.ID, r.Source, r.MessageID}
	for i := range text {
		text[i] = encodeText(text[i])
	}
	return laneOf(r), text, [...][]byte{sqlrow.EncodeHeaders(r.Record.Headers), notNil(r.History), notNil(r.Record.Value)}
}

// arraysOf are the columns of several rows, one array for each.
func arraysOf(rows []store.Row) []any {
	lanes, text, bytes := make([]int16, len(rows)), [5][]string{}, [3][][]byte{}
	for i := range rows {
		lane, row, blobs := columnsOf(&rows[i])
		lanes[i] = lane
		for c := range row {
			text[c] = append(text[c], row[c])
		}
		for c := range blobs {
			bytes[c] = append(bytes[c], blobs[c])
		}
	}
	return []any{lanes, text[0], text[1], text[2], text[3], text[4], bytes[0], bytes[1], bytes[2]}
}

// notNil makes nil an empty value, as the tables want it.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Move implements [store.Tx]. A row that becomes ready gets a new id, and so a place behind all rows that are there; a row that becomes
// dead takes the place of a dead row with its identity.
func (p *txPart) Move(ctx context.Context, to store.State, ids ...int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return 0, fmt.Errorf("postgres: move to %s: %w", to, store.ErrTxDone)
	}
	if to < store.Ready || to > store.Gone {
		return 0, fmt.Errorf("postgres: move: there is no state %d", int(to))
	}
	if len(ids) == 0 {
		return 0, nil
	}
	var n int64
	var err error
	switch to {
	case store.Ready:
		n, err = p.moveToReady(ctx, ids)
	case store.Gone:
		n, err = p.deleteRows(ctx, ids)
	default:
		n, err = p.moveToLetters(ctx, to, ids)
	}
	return int(n), explain("move to "+to.String(), err)
}

func (p *txPart) deleteRows(ctx context.Context, ids []int64) (n int64, err error) {
	const gone = `WITH o AS (DELETE FROM {schema}.outbox WHERE id = ANY($1::bigint[]) RETURNING 1),
		l AS (DELETE FROM {schema}.letters WHERE id = ANY($1::bigint[]) RETURNING 1)
		SELECT (SELECT count(*) FROM o) + (SELECT count(*) FROM l)`
	_, err = p.on.row(ctx, []any{&n}, p.s.sql(gone), ids)
	return n, err
}

// moveToLetters makes rows dead or held. They are held for a moment in any case, while those whose place they take are deleted. Transactions that
// want to make the same message dead wait for each other.
func (p *txPart) moveToLetters(ctx context.Context, to store.State, ids []int64) (int64, error) {
	const fromOutbox = `WITH gone AS (DELETE FROM {schema}.outbox WHERE id = ANY($1::bigint[]) RETURNING '' AS queue, *)
		INSERT INTO {schema}.letters (id, queue, state, ` + rowColumns + `, identity)
		SELECT id, queue, 2, ` + rowColumns + `, ` + identity + ` FROM gone`
	const hold = `UPDATE {schema}.letters SET state = 2, due = NULL WHERE id = ANY($1::bigint[])`
	const wait = `SELECT pg_advisory_xact_lock(n) FROM (SELECT DISTINCT ('x' || encode(substr(identity, 1, 8), 'hex'))::bit(64)::bigint AS n
		FROM {schema}.letters WHERE id = ANY($1::bigint[]) AND identity IS NOT NULL ORDER BY n) identities`
	const displace = `DELETE FROM {schema}.letters old USING {schema}.letters new
		WHERE new.id = ANY($1::bigint[]) AND old.identity = new.identity AND old.id <> new.id
			AND (old.state = 1 OR old.id = ANY($1::bigint[]) AND old.id < new.id)`
	const kill = `UPDATE {schema}.letters SET state = 1 WHERE id = ANY($1::bigint[])`

	if _, err := p.on.exec(ctx, p.s.sql(fromOutbox), ids); err != nil {
		return 0, err
	}
	n, err := p.on.exec(ctx, p.s.sql(hold), ids)
	if err != nil || to == store.Held {
		return n, err
	}
	for _, query := range []string{wait, displace, kill} {
		if _, err = p.on.exec(ctx, p.s.sql(query), ids); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// moveToReady gives rows that are dead, held or wait a place at the end of their queue, ordered by (due, id). The place is a new id, since readers go by id.
func (p *txPart) moveToReady(ctx context.Context, ids []int64) (int64, error) {
	const count = `SELECT (SELECT count(*) FROM {schema}.outbox WHERE id = ANY($1::bigint[])) +
		(SELECT count(*) FROM {schema}.letters WHERE id = ANY($1::bigint[]))`
	const these = `id = ANY($1::bigint[]) AND (state <> 0 OR due IS NOT NULL)`
	const toOutbox = `WITH gone AS (DELETE FROM {schema}.letters WHERE queue = '' AND ` + these + ` RETURNING *)
		INSERT INTO {schema}.outbox (slot, ` + rowColumns + `)
		SELECT $2::smallint, ` + rowColumns + ` FROM gone ORDER BY due NULLS FIRST, id`
	const toQueues = `WITH gone AS (DELETE FROM {schema}.letters WHERE queue <> '' AND ` + these + ` RETURNING *)
		INSERT INTO {schema}.letters (queue, state, identity, ` + rowColumns + `)
		SELECT queue, 0, identity, ` + rowColumns + ` FROM gone ORDER BY due NULLS FIRST, id`

	var n int64
	if _, err := p.on.row(ctx, []any{&n}, p.s.sql(count), ids); err != nil || n == 0 {
		return 0, err
	}
	p.woken = true
	if _, err := p.on.exec(ctx, p.s.sql(toOutbox), ids, p.s.slot()); err != nil {
		return 0, err
	}
	_, err := p.on.exec(ctx, p.s.sql(toQueues), ids)
	return n, err
}

// Note implements [store.Tx].
func (p *txPart) Note(ctx context.Context, id int64, history []byte) error {
	const note = `WITH o AS (UPDATE {schema}.outbox SET history = $2::bytea WHERE id = $1::bigint)
		UPDATE {schema}.letters SET history = $2::bytea WHERE id = $1::bigint`
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return fmt.Errorf("postgres: note: %w", store.ErrTxDone)
	}
	_, err := p.on.exec(ctx, p.s.sql(note), id, notNil(history))
	return explain("note", err)
}
