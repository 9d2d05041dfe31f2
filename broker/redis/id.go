package redis

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"time"
)

// entryID is the ID of a stream entry, "1700000000000-3": a millisecond of the server's clock and a number within it.
type entryID struct {
	ms, n uint64
}

// A sequence is an ID in one number: the low 20 bits are the number within the millisecond. So both grow together, a sequence is
// the same for everybody who reads it, and it fits into 63 bits until the year 2248.
const (
	numberBits = 20
	maxMillis  = 1<<(63-numberBits) - 1
)

func parseID(text []byte) (entryID, bool) {
	before, after, found := bytes.Cut(text, []byte("-"))
	var id entryID
	var err1, err2 error
	id.ms, err1 = strconv.ParseUint(string(before), 10, 64)
	if found {
		id.n, err2 = strconv.ParseUint(string(after), 10, 64)
	}
	return id, err1 == nil && err2 == nil
}

func (id entryID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.n, 10)
}

func (id entryID) compare(o entryID) int {
	return cmp.Or(cmp.Compare(id.ms, o.ms), cmp.Compare(id.n, o.n))
}

func (id entryID) time() time.Time { return time.UnixMilli(int64(min(id.ms, maxMillis))) }

// sequence is the ID as one number. IDs that somebody chose, like 99999999999999999-5, may not fit; see [numbers].
func (id entryID) sequence() (sequence uint64, fits bool) {
	fits = id.ms <= maxMillis && id.n < 1<<numberBits
	return min(id.ms, maxMillis)<<numberBits | min(id.n, 1<<numberBits-1), fits
}

// before is the last ID that is older than t.
func before(t time.Time) entryID {
	return entryID{ms: uint64(max(t.UnixMilli(), 1)) - 1, n: math.MaxUint64}
}

// numbers gives sequences to the entries of one partition in the order of their IDs. They grow also where an ID does not fit.
type numbers struct {
	last uint64
}

func (s *numbers) next(id entryID) uint64 {
	sequence, _ := id.sequence()
	s.last = max(sequence, s.last+1)
	return s.last
}
