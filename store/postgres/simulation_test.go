package postgres

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"
)

// How many keys and lanes there are, and how many transactions are open at a time.
const (
	simKeys  = 12
	simLanes = 3
	simOpen  = 10
)

// world is a database that has nothing but an outbox, and transactions that run through each other. Each changes one key: it takes the key's lock, draws
// an id for its row, and ends. It got its number long before, or only then.
type world struct {
	random   *rand.Rand
	nextTxid uint64
	nextID   int64
	open     []*simTx
	locks    map[int]*simTx
	count    map[int]int // committed changes of each key
	rows     []simRow    // committed and not deleted
}

type simTx struct {
	txid   uint64
	key    int
	locked bool
	id     int64
}

type simRow struct {
	txid uint64
	id   int64
	key  int
	n    int
}

// step does something in one of the transactions.
func (w *world) step() {
	if len(w.open) < simOpen {
		w.open = append(w.open, &simTx{txid: w.nextTxid, key: w.random.IntN(simKeys)})
		w.nextTxid++
	}
	i := w.random.IntN(len(w.open))
	tx := w.open[i]
	switch {
	case !tx.locked:
		if w.locks[tx.key] == nil {
			w.locks[tx.key], tx.locked = tx, true
		}
	case tx.id == 0:
		tx.id = w.nextID
		w.nextID++
	case w.random.IntN(2) > 0:
		delete(w.locks, tx.key)
		w.open = slices.Delete(w.open, i, i+1)
		if w.random.IntN(8) > 0 {
			w.count[tx.key]++
			w.rows = append(w.rows, simRow{tx.txid, tx.id, tx.key, w.count[tx.key]})
		}
	}
}

// snapshot is what the server sends for its snapshot.
func (w *world) snapshot() []byte {
	xmin := w.nextTxid
	for _, tx := range w.open {
		xmin = min(xmin, tx.txid)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(w.open)))
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, xmin), w.nextTxid)
	for _, tx := range w.open {
		b = binary.BigEndian.AppendUint64(b, tx.txid)
	}
	return b
}

func (h horizon) has(txid uint64) bool { return txid >= h.xmax || slices.Contains(h.running, txid) }

// result is what the server answers, as the statements say.
func (w *world) result(q *question, tail *pgconn.StatementDescription) (rows [][][]byte) {
	head := make([][]byte, colCount)
	head[colArm], head[colSnapshot], head[colID] = []byte{0, armHead}, w.snapshot(), make([]byte, 8)
	rows = append(rows, head)
	var late, forward []simRow
	for _, r := range w.rows {
		if q.lanes[simLane(r.key)] == nil {
			continue
		}
		switch {
		case q.statement == tail || q.top == nil || r.id > q.top.upTo:
			if q.unseen.has(r.txid) {
				forward = append(forward, r)
			}
		case horizonOf(q.top.seen).has(r.txid):
			late = append(late, r)
		}
	}
	for arm, some := range [][]simRow{armLate: late, armForward: forward} {
		slices.SortFunc(some, func(a, b simRow) int { return int(a.id - b.id) })
		for _, r := range some[:min(len(some), q.limit)] {
			rows = append(rows, r.wire(arm))
		}
	}
	return rows
}

// simLane puts some keys into each lane.
func simLane(key int) string { return string([]byte{0, byte(key * simLanes / simKeys)}) }

func (r simRow) wire(arm int) [][]byte {
	columns := make([][]byte, colCount)
	columns[colArm], columns[colSlot], columns[colCreated] = []byte{0, byte(arm)}, []byte{0, 0}, make([]byte, 8)
	columns[colTxid], columns[colID] = binary.BigEndian.AppendUint64(nil, r.txid), binary.BigEndian.AppendUint64(nil, uint64(r.id))
	columns[colLane], columns[colKey], columns[colValue] = []byte(simLane(r.key)), fmt.Append(nil, r.key), binary.BigEndian.AppendUint32(nil, uint32(r.n))
	return columns
}

// simulation is a reader at work in a world.
type simulation struct {
	*world
	r         *reader
	lanes     []*lane
	now       time.Time
	delivered map[string]int // the last change of each key
	faults    []string
	forgetful bool // does without what came late: the negative control
}

func newSimulation(seed uint64, rows int) *simulation {
	s := &simulation{
		world: &world{random: rand.New(rand.NewPCG(seed, 1)), nextTxid: 100, nextID: 1, locks: map[int]*simTx{}, count: map[int]int{}},
		now:   time.Now(), delivered: map[string]int{},
	}
	s.r = &reader{
		link: &link{s: &Store{timing: timing{rows: rows}}, room: make(chan struct{}, 1)}, lanes: map[string]*lane{},
		tail: &pgconn.StatementDescription{Name: "tail"}, chunk: &pgconn.StatementDescription{Name: "chunk"},
	}
	for n := range simLanes {
		l := &lane{r: s.r, number: n, wire: simLane(n * simKeys / simLanes), fresh: func() error { return nil }, wake: make(chan struct{}, 1), open: map[int64]int16{}}
		s.lanes = append(s.lanes, l)
		s.r.add(l)
	}
	return s
}

// look is what the reader does when it is time.
func (s *simulation) look() error {
	s.now = s.now.Add(time.Duration(s.random.IntN(700)) * time.Millisecond)
	for _, g := range s.r.groups(s.r.all(), s.now) {
		q := s.r.question(g)
		a := q.scratch.again()
		for _, row := range s.result(q, s.r.tail) {
			if s.forgetful && row[colArm][1] == armLate {
				continue
			}
			if err := q.take(a, row); err != nil {
				return err
			}
		}
		if err := q.finish(a); err != nil {
			return err
		}
		a.snapshot.at = s.now
		s.r.scratch = a
		s.r.handOut(g, a)
	}
	return nil
}

// consume takes from a lane, and deletes some of that.
func (s *simulation) consume(l *lane, limit int) error {
	deliveries, err := l.take(limit, 1<<20)
	for _, d := range deliveries {
		n := int(binary.BigEndian.Uint32(d.Value))
		if n != s.delivered[d.Key]+1 {
			s.faults = append(s.faults, fmt.Sprintf("key %s: %d came after %d", d.Key, n, s.delivered[d.Key]))
		}
		s.delivered[d.Key] = n
		if s.random.IntN(2) == 0 {
			s.rows = slices.DeleteFunc(s.rows, func(r simRow) bool { return r.id == int64(d.Sequence) })
			delete(l.open, int64(d.Sequence))
		}
	}
	return err
}

// live runs for a while and then lets everything come to its end.
func (s *simulation) live(steps int) error {
	stuck := map[*lane]bool{}
	for range steps {
		l := s.lanes[s.random.IntN(len(s.lanes))]
		var err error
		switch n := s.random.IntN(10); {
		case n < 7:
			s.step()
		case n == 7:
			err = s.look()
		case n == 8 && s.random.IntN(4) == 0: // A lane has no room for a time.
			if stuck[l] = !stuck[l]; stuck[l] {
				l.bytes += laneBytes
			} else {
				l.bytes -= laneBytes
			}
		case !stuck[l]:
			err = s.consume(l, 1+s.random.IntN(4))
		}
		if err != nil {
			return err
		}
	}
	for l, is := range stuck {
		if is {
			l.bytes -= laneBytes
		}
	}
	for range 60 + len(s.rows) {
		for _, l := range s.lanes {
			if err := s.consume(l, 1000); err != nil {
				return err
			}
		}
		if err := s.look(); err != nil {
			return err
		}
	}
	for key, n := range s.count {
		if got := s.delivered[fmt.Sprint(key)]; got != n {
			s.faults = append(s.faults, fmt.Sprintf("key %d: %d changes were committed, %d came", key, n, got))
		}
	}
	return nil
}

// Every row comes once, and those of a key in the order of their commits, whatever transactions do and wherever answers are cut.
func TestTheReaderInSimulatedWorlds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := newSimulation(rapid.Uint64().Draw(rt, "seed"), rapid.IntRange(1, 12).Draw(rt, "rows at once"))
		if err := s.live(rapid.IntRange(1, 400).Draw(rt, "steps")); err != nil || len(s.faults) > 0 {
			rt.Fatal(err, s.faults)
		}
	})
}

// A reader that forgets what comes late must be found out.
func TestTheSimulationBites(t *testing.T) {
	t.Parallel()
	bad := 0
	for seed := range uint64(30) {
		s := newSimulation(seed, 2)
		s.forgetful = true
		if err := s.live(1000); err != nil || len(s.faults) > 0 {
			bad++
		}
	}
	if bad < 15 {
		t.Errorf("a reader that forgets what comes late was found out in %d of 30 worlds", bad)
	}
}
