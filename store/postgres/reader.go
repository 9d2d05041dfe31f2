package postgres

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// chunkRows and chunkBytes are how much is read at once, about. While its owners publish one chunk the next is read.
	chunkRows  = 4096
	chunkBytes = 8 << 20
	// firstRows is how much is read before it is known how large rows are.
	firstRows = 512
	// patience is how long lanes that are read together wait for one that has no room, before they go on without it.
	patience = time.Second
	// recent snapshots can be merged: what became visible since the older one is soon read again.
	recent = 2 * time.Second
	// maxGather is the most that the least time between two looks becomes under load.
	maxGather = 5 * time.Millisecond
	// maxPoll is how long an idle reader waits at most.
	maxPoll = time.Second
)

// reader feeds the lanes of one table. What became visible since its last look is the difference of two snapshots: nothing
// depends on ids having been committed in their order, or on transactions being short.
type reader struct {
	feed
	link *link
	// gather is the least time between two looks.
	gather      time.Duration
	tail, chunk *pgconn.StatementDescription
	size        int // about how large a row is, or 0
	scratch     *answer

	mu     sync.Mutex
	lanes  map[string]*lane
	starve bool // there was something to read and no room

	// When to look next, when the last look was, how many rows it found, and how long the pauses have become.
	next, last time.Time
	found      int
	pause      time.Duration
}

// add begins to feed a lane, with its oldest row that is present.
func (r *reader) add(l *lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lanes[l.wire] = l
	wake(r.link.room)
}

func (r *reader) remove(l *lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lanes[l.wire] == l {
		delete(r.lanes, l.wire)
	}
}

// room tells that a lane has given some away.
func (r *reader) room() {
	r.mu.Lock()
	starve := r.starve
	r.starve = false
	r.mu.Unlock()
	if starve {
		wake(r.link.room)
	}
}

func (r *reader) all() []*lane {
	r.mu.Lock()
	defer r.mu.Unlock()
	lanes := make([]*lane, 0, len(r.lanes))
	for _, l := range r.lanes {
		lanes = append(lanes, l)
	}
	slices.SortFunc(lanes, func(a, b *lane) int { return cmp.Compare(a.wire, b.wire) })
	return lanes
}

// hurry makes a look due, because something was committed: at once when little happens, and when much does after a few milliseconds, so that
// not every commit causes one.
func (r *reader) hurry() {
	r.pause = 0
	gather := max(r.gather, min(time.Duration(r.found)*time.Millisecond, maxGather))
	if at := r.last.Add(gather); at.Before(r.next) {
		r.next = at
	}
}

// look reads for all lanes that have room, if it is time. The next look is due at once if there is more.
func (r *reader) look(ctx context.Context) error {
	now := time.Now()
	if now.Before(r.next) {
		return nil
	}
	lanes := r.all()
	if len(lanes) == 0 {
		r.next = now.Add(maxPoll)
		return nil
	}
	r.last = now
	more := false
	r.found = 0
	for _, group := range r.groups(lanes, now) {
		n, cut, err := r.read(ctx, group)
		if err != nil {
			return err
		}
		r.found += n
		more = more || cut
	}
	if r.next = now; !more {
		r.next = now.Add(r.idle())
	}
	return nil
}

// idle is how long to wait for news before looking without: longer and longer while nothing happens.
func (r *reader) idle() time.Duration {
	poll := r.link.s.cfg.Poll
	if r.found > 0 || r.pause == 0 {
		r.pause = poll
	} else {
		r.pause = min(2*r.pause, max(poll, maxPoll))
	}
	return r.pause*4/5 + rand.N(r.pause*2/5+1)
}

// group are lanes that have read the same and so can be read together.
type group struct {
	lanes []*lane
	top   *part
	// tail says that all of them have a base, and nothing else.
	tail bool
}

// groups divides the lanes that have room.
func (r *reader) groups(lanes []*lane, now time.Time) []group {
	type place struct {
		top  *part
		base *snapshot
	}
	newest := &snapshot{}
	for _, l := range lanes {
		if b := l.cover.base; b != nil && b.at.After(newest.at) {
			newest = b
		}
	}
	var order []place
	members := map[place][]*lane{}
	for _, l := range lanes {
		at := place{top: l.cover.top()}
		if b := l.cover.base; at.top == nil && b != nil {
			at.base = b
			if newest.at.Sub(b.at) < recent {
				at.base = newest
			}
		}
		if members[at] == nil {
			order = append(order, at)
		}
		members[at] = append(members[at], l)
	}
	var groups []group
	for _, at := range order {
		g := group{lanes: members[at], top: at.top, tail: at.base != nil}
		if g.lanes = r.withRoom(g, now); len(g.lanes) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// withRoom returns which of a group's lanes are to be read now.
func (r *reader) withRoom(g group, now time.Time) []*lane {
	var free []*lane
	rows, bytes, waiting := 0, 0, false
	for _, l := range g.lanes {
		n, size, full := l.load(now)
		rows, bytes = rows+n, bytes+size
		if full.IsZero() {
			free = append(free, l)
		} else if now.Sub(full) < patience {
			waiting = true
		}
	}
	ahead := rows >= chunkRows || bytes >= chunkBytes
	if !g.tail && (waiting || ahead) {
		free = nil
	}
	if len(free) < len(g.lanes) {
		r.mu.Lock()
		r.starve = true
		r.mu.Unlock()
	}
	return free
}

// read reads for a group, and returns how many rows there were and whether there are more.
func (r *reader) read(ctx context.Context, g group) (found int, cut bool, err error) {
	q := r.question(g)
	a, err := q.ask(ctx, r.link.conn.PgConn())
	if err != nil {
		return 0, false, err
	}
	if a.pid != r.link.pid {
		return 0, false, errPooled
	}
	r.scratch = a
	r.handOut(g, a)
	if len(a.rows) > 0 {
		r.size = a.bytes/len(a.rows) + 1
	}
	return len(a.rows), a.cut != nil, nil
}

func (r *reader) question(g group) *question {
	q := &question{lanes: make(map[string]*lane, len(g.lanes)), limit: firstRows, bytes: chunkBytes, top: g.top, statement: r.chunk, scratch: r.scratch}
	if g.tail {
		q.statement = r.tail
	}
	if r.size > 0 {
		q.limit = max(chunkBytes/r.size, 1)
	}
	q.limit = min(q.limit, r.link.s.timing.rows)
	names := make([]string, len(g.lanes))
	bases := make([]*snapshot, len(g.lanes))
	for i, l := range g.lanes {
		q.lanes[l.wire], names[i], bases[i] = l, l.name, l.cover.base
	}
	q.names = textArray(names)
	q.unseen = horizonOf(bases...)
	return q
}

// handOut gives the rows of an answer to their lanes, and notes what the lanes have now.
func (r *reader) handOut(g group, a *answer) {
	for i := range a.rows {
		if l := a.rows[i].lane; l.add(&a.rows[i]) {
			wake(l.wake)
		}
	}
	for _, l := range g.lanes {
		if a.cut != nil {
			l.cover.cut(a.cut)
		} else {
			l.cover.complete(a.snapshot)
		}
	}
}
