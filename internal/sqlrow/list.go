package sqlrow

import (
	"iter"

	"github.com/tidings-go/tidings/store"
)

// pageSize is how many rows are read at a time. No transaction stays open while the caller looks at them: one that does keeps SQLite's write-ahead
// log from being reused, and PostgreSQL's old rows from being cleaned up.
const pageSize = 256

// List reads the rows of f page by page, in the order of their ids. A page that is shorter than its limit is the last.
func List(f store.Filter, read func(page store.Filter) ([]store.Row, error)) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		left := f.Limit
		for {
			page := f
			page.Limit = pageSize
			if f.Limit > 0 {
				page.Limit = min(left, pageSize)
			}
			rows, err := read(page)
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
				f.After = r.ID
			}
			if err != nil {
				yield(store.Row{}, err)
				return
			}
			left -= len(rows)
			if len(rows) < page.Limit || (f.Limit > 0 && left <= 0) {
				return
			}
		}
	}
}
