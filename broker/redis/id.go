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
	ms, ok1 := parseNumber(before)
	n, ok2 := parseNumber(after)
	return entryID{ms, n}, ok1 && (ok2 || !found)
}

// parseNumber reads decimal digits. There are millions of them a second.
func parseNumber(digits []byte) (n uint64, ok bool) {
	for _, c := range digits {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = 10*n + d
	}
	return n, len(digits) > 0
}

func (id entryID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.n, 10)
}

func (id entryID) compare(o entryID) int {
	return cmp.Or(cmp.Compare(id.ms, o.ms), cmp.Compare(id.n, o.n))
}

func maxID(a, b entryID) entryID {
	if a.compare(b) < 0 {
		return b
	}
	return a
}

func (id entryID) time() time.Time { return time.UnixMilli(int64(min(id.ms, maxMillis))) }

// sequence is the ID as one number. IDs that somebody chose, like 99999999999999999-5, may not fit and have the nearest that does.
func (id entryID) sequence() uint64 {
	return min(id.ms, maxMillis)<<numberBits | min(id.n, 1<<numberBits-1)
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
	s.last = max(id.sequence(), s.last+1)
	return s.last
}
