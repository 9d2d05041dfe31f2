package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Times for which there is no knob.
const (
	// statementTime is how long any statement of a link may take.
	statementTime = 30 * time.Second
	// outboxGather and lettersGather are the least times between two looks at the tables when little happens.
	outboxGather  = time.Millisecond
	lettersGather = 20 * time.Millisecond
)

// timing is what tests make shorter and smaller.
type timing struct {
	// sweep is how often lanes are compared with the whole table, as a check of the reader.
	sweep time.Duration
	// chores is how often who owns lane 0 of the outbox sees after its slots and the claims.
	chores time.Duration
	// rows is how many rows are read at once at most.
	rows int
}

func defaultTiming() timing {
	return timing{sweep: time.Minute, chores: 10 * time.Second, rows: chunkRows}
}

// link is what all lanes of a store have in common: two sessions. One reads, the other deletes and keeps the leases. They live and die together, and
// every lane with them: what was read in one life of the server must never be mixed up with another, where numbers of transactions
// and ids may mean something else.
type link struct {
	s       *Store
	conn    *pgx.Conn // the reading session; only the goroutine of feed uses it
	control control
	outbox  *reader
	letters *reader
	settler *settler
	chores  *chores
	room    chan struct{} // has a token when a lane has room again, or is new
	pid     int64         // the server process that the reading session is

	ctx     context.Context //nolint:containedctx // the link's own life
	fail    context.CancelCauseFunc
	working sync.WaitGroup
	users   int // guarded by links
}

// links shares one link among all calls of Lanes.
type links struct {
	mu      sync.Mutex
	current *link
}

// join returns the link that lives, or a new one. Who has it calls leave in the end.
func (ls *links) join(ctx context.Context, s *Store) (*link, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if k := ls.current; k != nil && k.ctx.Err() == nil {
		k.users++
		return k, nil
	}
	k, err := newLink(ctx, s)
	if err != nil {
		return nil, err
	}
	k.users = 1
	ls.current = k
	return k, nil
}

// leave closes the link when nobody uses it any more.
func (ls *links) leave(k *link) {
	ls.mu.Lock()
	k.users--
	last := k.users == 0
	if last && ls.current == k {
		ls.current = nil
	}
	ls.mu.Unlock()
	if last {
		k.close()
	}
}

func newLink(ctx context.Context, s *Store) (*link, error) {
	k := &link{s: s, room: make(chan struct{}, 1)}
	k.outbox = &reader{link: k, gather: outboxGather, lanes: map[string]*lane{}, feed: outboxFeed(s)}
	k.letters = &reader{link: k, gather: lettersGather, lanes: map[string]*lane{}, feed: lettersFeed(s)}
	opening, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	if err := k.open(opening); err != nil {
		k.closeSessions()
		return nil, err
	}
	k.ctx, k.fail = context.WithCancelCause(context.WithoutCancel(ctx))
	k.settler = newSettler(k)
	k.chores = newChores(k)
	for _, work := range []func(context.Context) error{k.feed, k.settler.run, k.chores.run, k.listen} {
		k.working.Go(func() {
			if err := work(k.ctx); err != nil {
				k.fail(err)
			}
		})
	}
	return k, nil
}

// close ends the link. Its users are gone.
func (k *link) close() {
	k.fail(nil)
	k.working.Wait()
	k.closeSessions()
}

// feed reads for the lanes until ctx ends.
func (k *link) feed(ctx context.Context) error {
	committed := k.s.hint.watch()
	defer k.s.hint.unwatch(committed)
	timer := time.NewTimer(0)
	defer timer.Stop()
	readers := []*reader{k.outbox, k.letters}
	sweep := time.Now().Add(k.s.timing.sweep)
	for ctx.Err() == nil {
		if err := k.round(ctx, readers); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if time.Now().After(sweep) {
			if err := k.sweep(ctx, readers); err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
			sweep = time.Now().Add(k.s.timing.sweep)
		}
		timer.Reset(max(time.Until(earlier(k.outbox.next, k.letters.next)), 0))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-committed:
			k.outbox.hurry()
			k.letters.hurry()
		case <-k.room:
			k.outbox.next, k.letters.next = time.Time{}, time.Time{}
		}
	}
	return nil
}

func (k *link) round(ctx context.Context, readers []*reader) error {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	for _, r := range readers {
		if err := r.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
