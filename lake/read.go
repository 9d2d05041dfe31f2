package lake

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// readPage is how many messages Read gets at a time: between pages no transaction is open, however slowly the caller reads.
const readPage = 256

// Filter says which messages are read. Zero fields don't filter.
type Filter struct {
	// After reads only messages with a larger position.
	After int64
	// Types reads only messages of these types, such as "tickets.BookingMade.v1".
	Types []string
	// Key reads only messages of this key.
	Key string
	// Limit is how many messages at most; 0 is all.
	Limit int
}

// Read reads messages in the order of their positions. Each range over the result begins anew.
func Read(ctx context.Context, db DB, f Filter) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		f := f
		for left := f.Limit; ; {
			page := f
			page.Limit = readPage
			if f.Limit > 0 {
				page.Limit = min(left, readPage)
			}
			messages, err := readOnce(ctx, db, page)
			for _, m := range messages {
				if !yield(m, nil) {
					return
				}
				f.After = m.Position
			}
			if err != nil {
				yield(Message{}, fmt.Errorf("lake: read after position %d: %w", f.After, err))
				return
			}
			left -= len(messages)
			if len(messages) < page.Limit || left == 0 {
				return
			}
		}
	}
}

// Count is how many messages there are.
func Count(ctx context.Context, db DB, f Filter) (int64, error) {
	where, args := f.where()
	rows, err := db.QueryContext(ctx, "SELECT count(*) FROM tidings_lake WHERE "+where, args...)
	if err != nil {
		return 0, fmt.Errorf("lake: count: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	var n int64
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, fmt.Errorf("lake: count: %w", err)
		}
	}
	return n, rows.Err()
}

func readOnce(ctx context.Context, db DB, f Filter) ([]Message, error) {
	where, args := f.where()
	query := "SELECT " + columns + " FROM tidings_lake WHERE " + where + " ORDER BY position LIMIT " + strconv.Itoa(f.Limit)
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	var messages []Message
	for rows.Next() {
		m, err := scanMessage(rows)
		if err != nil {
			return messages, err
		}
		messages = append(messages, m)
	}
	return messages, rows.Err()
}

// where is the filter as a condition with its arguments.
func (f Filter) where() (condition string, args []any) {
	terms := []string{"position > $1"}
	args = []any{f.After}
	placeholder := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}
	if len(f.Types) > 0 {
		list := make([]string, len(f.Types))
		for i, t := range f.Types {
			list[i] = placeholder(t)
		}
		terms = append(terms, "type IN ("+strings.Join(list, ", ")+")")
	}
	if f.Key != "" {
		terms = append(terms, "key = "+placeholder(f.Key))
	}
	return strings.Join(terms, " AND "), args
}
