package postgres

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

var errSnapshot = errors.New("the server's snapshot is damaged")

// snapshot says which transactions a statement saw: those below xmin, and those below xmax that were not running. The numbers have 64 bits and
// belong to one life of one server, so a snapshot is worth nothing in another session.
type snapshot struct {
	xmin, xmax uint64
	running    []uint64 // sorted, xmin <= each < xmax
	at         time.Time
}

// decodeSnapshot reads a pg_snapshot in its binary form.
func decodeSnapshot(b []byte) (*snapshot, error) {
	if len(b) < 20 {
		return nil, errSnapshot
	}
	n := int(int32(binary.BigEndian.Uint32(b)))
	s := &snapshot{xmin: binary.BigEndian.Uint64(b[4:]), xmax: binary.BigEndian.Uint64(b[12:]), at: time.Now()}
	if b = b[20:]; n < 0 || len(b) != 8*n {
		return nil, errSnapshot
	}
	s.running = make([]uint64, n)
	for i := range s.running {
		s.running[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	slices.Sort(s.running)
	return s, nil
}

// sees reports whether a row that is there now, written by the transaction txid, was there at the time of s.
func (s *snapshot) sees(txid uint64) bool {
	if txid < s.xmin || txid >= s.xmax {
		return txid < s.xmin
	}
	_, running := slices.BinarySearch(s.running, txid)
	return !running
}

// horizon is a question to the server: rows written by transactions from xmax on, or by one of running. The zero value asks for everything.
type horizon struct {
	xmax    uint64
	running []uint64
}

// neverTxid is beyond all transactions: a horizon of it is a question for nothing.
const neverTxid = 1<<63 - 1

// horizonOf covers what is invisible in any of the snapshots. A nil snapshot has seen nothing.
func horizonOf(snapshots ...*snapshot) horizon {
	h := horizon{xmax: neverTxid}
	for _, s := range snapshots {
		if s == nil {
			return horizon{}
		}
		h.xmax = min(h.xmax, s.xmax)
	}
	for _, s := range snapshots {
		for _, txid := range s.running {
			if txid < h.xmax {
				h.running = append(h.running, txid)
			}
		}
	}
	slices.Sort(h.running)
	h.running = slices.Compact(h.running)
	return h
}

// params are the horizon as the statements take it: xid8 and xid8[] in their text form.
func (h horizon) params() (xmax, running []byte) {
	b := []byte{'{'}
	for i, txid := range h.running {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, txid, 10)
	}
	return strconv.AppendUint(nil, h.xmax, 10), append(b, '}')
}

// coverage is what a lane has fetched: every row that base sees, and of each part every row up to an id that its snapshot sees.
type coverage struct {
	base  *snapshot
	parts []*part // the newest last
}

// part is a reading that was cut at an id.
type part struct {
	seen *snapshot
	upTo int64
}

// has reports whether a row that is there now has been fetched.
func (c *coverage) has(id int64, txid uint64) bool {
	if c.base != nil && c.base.sees(txid) {
		return true
	}
	for _, p := range c.parts {
		if id <= p.upTo && p.seen.sees(txid) {
			return true
		}
	}
	return false
}

// top is the newest part, where reading goes on, or nil.
func (c *coverage) top() *part {
	if len(c.parts) == 0 {
		return nil
	}
	return c.parts[len(c.parts)-1]
}

// complete notes that everything visible in s has been fetched.
func (c *coverage) complete(s *snapshot) { c.base, c.parts = s, nil }

// cut notes that everything visible in p.seen has been fetched up to p.upTo. A later snapshot sees all that an earlier one saw.
func (c *coverage) cut(p *part) {
	c.parts = slices.DeleteFunc(slices.Clone(c.parts), func(old *part) bool { return old.upTo <= p.upTo })
	c.parts = append(c.parts, p)
}

// textArray writes strings as PostgreSQL reads an array.
func textArray(values []string) []byte {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + quote.Replace(v) + `"`
	}
	return []byte("{" + strings.Join(quoted, ",") + "}")
}
