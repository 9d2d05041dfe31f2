package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/sqlrow"
)

var errUnsorted = errors.New("the server returned rows out of order")

// feed is a table that ready rows are read from. Rows with one value in its lane column are one lane.
type feed struct {
	table string // with its schema, quoted
	lane  string // the column
	mine  string // the condition for rows of the lanes $3 that are ready
	slot  string // which slot a row is in
}

// The statements of a feed. Each is a single one, so that pg_current_snapshot is the snapshot that the rows were read with. Each arm uses one
// index of one column whatever the statistics say: most of the time they were made when the table was empty. "id + 0" keeps the index
// of ids away where rows are to be found by their transaction; what is always true is the condition of an index of letters.
const (
	// tailStatement reads what became visible: $1 and $2 are the horizon, $4 is the limit.
	tailStatement = headArm + `
UNION ALL (SELECT 2::smallint, NULL, n.* FROM (
	SELECT {columns} FROM {table} WHERE txid >= $1::xid8 AND txid > '0' AND {mine}
	UNION ALL SELECT {columns} FROM {table} WHERE txid = ANY($2::xid8[]) AND txid > '0' AND {mine}
) n ORDER BY n.id + 0 LIMIT $4::bigint)`

	// chunkStatement reads on in the order of ids behind $5, and what has come up to there late, that is since the horizon of $6 and $7.
	chunkStatement = headArm + `
UNION ALL (SELECT 1::smallint, NULL, n.* FROM (
	SELECT {columns} FROM {table} WHERE txid >= $6::xid8 AND txid > '0' AND id + 0 <= $5::bigint AND {mine}
	UNION ALL SELECT {columns} FROM {table} WHERE txid = ANY($7::xid8[]) AND txid > '0' AND id + 0 <= $5::bigint AND {mine}
) n ORDER BY n.id + 0 LIMIT $4::bigint)
UNION ALL (SELECT 2::smallint, NULL, {columns} FROM {table}
	WHERE id > $5::bigint AND id > 0 AND (txid >= $1::xid8 OR txid = ANY($2::xid8[])) AND {mine} ORDER BY id LIMIT $4::bigint)`

	// headArm is the snapshot, and which server process answers.
	headArm = `SELECT 0::smallint, pg_current_snapshot(), NULL, pg_backend_pid()::bigint, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL`

	feedColumns = `txid, id, {lane}, {slot}, created, topic, key, dedup, headers, value`
)

// Where the columns of these statements are, and which arm a row is from.
const (
	colArm = iota
	colSnapshot
	colTxid
	colID
	colLane
	colSlot
	colCreated
	colTopic
	colKey
	colDedup
	colHeaders
	colValue
	colCount

	armHead    = 0
	armLate    = 1
	armForward = 2
)

func outboxFeed(s *Store) feed {
	return feed{table: s.schema + ".outbox", lane: "lane", slot: "slot", mine: "lane = ANY($3::smallint[])"}
}

// lettersFeed has a lane for each queue. Its slot stands behind those of the outbox.
func lettersFeed(s *Store) feed {
	return feed{table: s.schema + ".letters", lane: "queue", slot: "3::smallint", mine: "queue = ANY($3::text[]) AND state = 0 AND due IS NULL"}
}

func (f feed) sql(statement string) string {
	statement = strings.ReplaceAll(statement, "{columns}", feedColumns)
	return strings.NewReplacer("{table}", f.table, "{lane}", f.lane, "{slot}", f.slot, "{mine}", f.mine).Replace(statement)
}

// question is what to read.
type question struct {
	lanes     map[string]*lane // by the value of the lane column on the wire
	names     []byte           // the same as an array
	limit     int
	bytes     int
	unseen    horizon
	top       *part
	statement *pgconn.StatementDescription
	scratch   *answer // of before, whose memory for rows and text is used again
}

// answer is what was read: rows in the order of their ids, complete up to where it was cut.
type answer struct {
	snapshot *snapshot
	pid      int64
	rows     []fetched
	cut      *part // nil: there is no more
	bytes    int

	late, forward int // rows of the arms, also those that the lanes had already
	last          int64
	full          bool
	text          []byte
	block         []byte // of memory for values
}

// again is an empty answer that uses the memory of one that was handed out.
func (a *answer) again() *answer {
	if a == nil {
		return &answer{}
	}
	clear(a.rows)
	return &answer{rows: a.rows[:0], text: a.text[:0]}
}

// Values share blocks of memory: the first is small, because most answers are, and each is twice as large as the one before.
const (
	firstBlock = 2 << 10
	maxBlock   = 256 << 10
)

// fetched is one row of an answer. Until the end its strings are places in the answer's text.
type fetched struct {
	lane     *lane
	slot     int16
	ends     [4]int // of topic, key, dedup and headers in the text
	delivery broker.Delivery
}

func (q *question) params() [][]byte {
	xmax, running := q.unseen.params()
	params := [][]byte{xmax, running, q.names, strconv.AppendInt(nil, int64(q.limit), 10)}
	if q.top != nil {
		xmax, running = horizonOf(q.top.seen).params()
		return append(params, strconv.AppendInt(nil, q.top.upTo, 10), xmax, running)
	}
	xmax, running = horizon{xmax: neverTxid}.params()
	return append(params, []byte("0"), xmax, running)
}

// binaryFormat asks for all columns in their binary form.
var binaryFormat = []int16{1}

// ask runs the statement and takes what the lanes do not have yet.
func (q *question) ask(ctx context.Context, conn *pgconn.PgConn) (*answer, error) {
	a := q.scratch.again()
	result := conn.ExecStatement(ctx, q.statement, q.params()[:len(q.statement.ParamOIDs)], nil, binaryFormat)
	var failed error
	for result.NextRow() {
		if failed == nil {
			failed = q.take(a, result.Values())
		}
	}
	if _, err := result.Close(); err != nil {
		return nil, err
	}
	if failed == nil && a.snapshot == nil {
		failed = errSnapshot
	}
	if failed != nil {
		return nil, failed
	}
	return a, q.finish(a)
}

// take takes one row of the result. Its bytes are good only for now.
func (q *question) take(a *answer, values [][]byte) (err error) {
	if len(values) != colCount {
		return fmt.Errorf("the server returned %d columns, not %d", len(values), colCount)
	}
	arm, id := binary.BigEndian.Uint16(values[colArm]), int64(binary.BigEndian.Uint64(values[colID]))
	switch arm {
	case armHead:
		a.pid = id
		a.snapshot, err = decodeSnapshot(values[colSnapshot])
		return err
	case armLate:
		a.late++
	case armForward:
		a.forward++
		if a.late >= q.limit { // What is behind late rows that were cut off must wait for them.
			return nil
		}
	}
	if a.full {
		return nil
	}
	a.last = id
	l := q.lanes[string(values[colLane])]
	if l == nil || l.cover.has(id, binary.BigEndian.Uint64(values[colTxid])) {
		return nil
	}
	a.add(l, id, values)
	a.full = a.bytes >= q.bytes
	return nil
}

func (a *answer) add(l *lane, id int64, values [][]byte) {
	r := fetched{lane: l, slot: int16(binary.BigEndian.Uint16(values[colSlot]))}
	before := len(a.text)
	for i, column := range values[colTopic : colHeaders+1] {
		a.text = append(a.text, column...)
		r.ends[i] = len(a.text)
	}
	r.delivery.Value = a.keep(values[colValue])
	r.delivery.Sequence, r.delivery.Partition = uint64(id), l.number
	r.delivery.Time = decodeTime(values[colCreated])
	a.bytes += r.ends[3] - before + len(r.delivery.Value)
	a.rows = append(a.rows, r)
}

// keep copies a value.
func (a *answer) keep(value []byte) []byte {
	if free := cap(a.block) - len(a.block); free < len(value) {
		a.block = make([]byte, 0, max(min(2*cap(a.block), maxBlock), firstBlock, len(value)))
	}
	at := len(a.block)
	a.block = append(a.block, value...)
	return a.block[at:len(a.block):len(a.block)]
}

// decodeTime reads a timestamptz: microseconds since the year 2000.
func decodeTime(b []byte) time.Time {
	const year2000 = 946_684_800
	return time.Unix(year2000, 0).Add(time.Duration(binary.BigEndian.Uint64(b)) * time.Microsecond)
}

// finish makes the rows' strings, all from one piece of memory, and says where the answer was cut.
func (q *question) finish(a *answer) error {
	text := string(a.text)
	var headers []broker.Header
	at := 0
	for i := range a.rows {
		r := &a.rows[i]
		record := &r.delivery.Record
		record.Topic, record.Key = decodeText(text[at:r.ends[0]]), decodeText(text[r.ends[0]:r.ends[1]])
		record.ID = decodeText(text[r.ends[1]:r.ends[2]])
		before := len(headers)
		var err error
		if headers, err = appendHeaders(headers, text[r.ends[2]:r.ends[3]]); err != nil {
			return fmt.Errorf("row %d: %w", r.delivery.Sequence, err)
		}
		record.Headers = headers[before:len(headers):len(headers)]
		at = r.ends[3]
	}
	if a.full || a.late >= q.limit || a.forward >= q.limit {
		a.cut = &part{seen: a.snapshot, upTo: a.last}
	}
	if !slices.IsSortedFunc(a.rows, func(x, y fetched) int { return cmp.Compare(x.delivery.Sequence, y.delivery.Sequence) }) {
		return errUnsorted
	}
	return nil
}

// appendHeaders decodes what sqlrow.EncodeHeaders wrote, without a copy.
func appendHeaders(headers []broker.Header, s string) ([]broker.Header, error) {
	for len(s) > 0 {
		var h broker.Header
		for _, field := range []*string{&h.Name, &h.Value} {
			size, n := uvarint(s)
			if n <= 0 || size > uint64(len(s)-n) {
				return nil, sqlrow.ErrHeaders
			}
			*field, s = s[n:n+int(size)], s[n+int(size):]
		}
		headers = append(headers, h)
	}
	return headers, nil
}

// uvarint is binary.Uvarint for a string.
func uvarint(s string) (uint64, int) {
	var start [binary.MaxVarintLen64]byte
	return binary.Uvarint(start[:copy(start[:], s)])
}
