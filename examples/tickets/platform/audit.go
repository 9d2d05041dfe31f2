package platform

import (
	"context"
	"database/sql"
	"fmt"
)

// What customers did: each row of these must have its effects.
const (
	allBookings = `SELECT id, show_id, n FROM bookings`
	allRefunds  = `SELECT booking_id, show_id, n FROM refunds`
)

// inversions are the entries of the read model's log before which there is one with a larger n. Of an entry that is there twice the first counts.
const inversions = `(
	SELECT n, MAX(n) OVER (PARTITION BY type, show_id ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
	FROM (SELECT type, show_id, n, MIN(seq) AS seq FROM ops_log GROUP BY type, show_id, n) AS firsts
) AS entries WHERE n < before`

// ledger is one kind of effect: the rows that must be there, and those that are. Both are booking, show and n.
type ledger struct {
	expected, actual string
	args             []any
	// unique says that rows that are there and not expected, or more often than once, count.
	unique bool
}

// ledgers are all effects of bookings and refunds.
func ledgers() []ledger {
	list := []ledger{
		{expected: allBookings, actual: `SELECT booking_id, show_id, n FROM confirmations`, unique: true},
		{expected: allBookings, actual: `SELECT booking_id, show_id, n FROM receipts`, unique: true},
		{expected: allBookings, actual: `SELECT booking_id, show_id, n FROM prints`, unique: true},
		{expected: allBookings, actual: `SELECT booking_id, show_id, n FROM notifications WHERE kind = 'confirmed'`, unique: true},
		{expected: allRefunds, actual: `SELECT booking_id, show_id, n FROM notifications WHERE kind <> 'confirmed'`, unique: true},
		{expected: `SELECT id, show_id FROM bookings`, actual: `SELECT booking_id, show_id FROM ops_bookings`},
	}
	for _, event := range publicTypes() {
		expected, keys := allBookings, `SELECT id, show_id FROM bookings`
		if event == Refunded.Definition().Type() {
			expected, keys = allRefunds, `SELECT booking_id, show_id FROM refunds`
		}
		list = append(list,
			ledger{expected: expected, actual: `SELECT booking_id, show_id, n FROM ops_log WHERE type = $1`, args: []any{event}, unique: true},
			ledger{expected: keys, actual: `SELECT subject, key FROM tidings_lake WHERE type = $1`, args: []any{event}})
	}
	return list
}

// audit counts rows. After the first error it does nothing more.
type audit struct {
	db  *sql.DB
	err error
}

// compare counts what is expected and not there, and what is there beyond that.
func (a *audit) compare(ctx context.Context, l ledger) (lost, surplus int64) {
	lost = a.count(ctx, `(`+l.expected+` EXCEPT `+l.actual+`) AS missing`, l.args...)
	if l.unique {
		surplus = a.count(ctx, `(`+l.actual+`) AS found`, l.args...) - a.count(ctx, `(`+l.expected+` INTERSECT `+l.actual+`) AS matched`, l.args...)
	}
	return lost, surplus
}

func (a *audit) count(ctx context.Context, from string, args ...any) int64 {
	if a.err != nil {
		return 0
	}
	var n int64
	if err := a.db.QueryRowContext(ctx, `SELECT count(*) FROM `+from, args...).Scan(&n); err != nil {
		a.err = fmt.Errorf("count %s: %w", from, err)
	}
	return n
}
