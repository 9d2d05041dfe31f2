package postgres

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/store"
)

const (
	// dueGather is the least time between two looks for scheduled rows whose time has come, and duePoll the longest.
	dueGather = 50 * time.Millisecond
	duePoll   = time.Second
	// dueRows is how many rows one transaction releases.
	dueRows = 1000
	// forgetEvery is how often old claims are deleted.
	forgetEvery = 10 * time.Minute
)

// chores are what the owner of the first lane of a queue does besides: it releases scheduled rows, and for the outbox, it rotates slots and
// forgets old claims. All of it is safe when two processes do it at once.
type chores struct {
	link *link
	wake chan struct{}

	mu     sync.Mutex
	queues map[string]int // as text
	// complained is when what failed was last logged: a right that is missing stays missing.
	complained map[string]time.Time
}

func newChores(k *link) *chores {
	return &chores{link: k, wake: make(chan struct{}, 1), queues: map[string]int{}, complained: map[string]time.Time{}}
}

func (c *chores) add(queue string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queues[queue]++
	wake(c.wake)
}

func (c *chores) remove(queue string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queues[queue]--; c.queues[queue] == 0 {
		delete(c.queues, queue)
	}
}

// mine are the queues that this process sees after.
func (c *chores) mine() (queues []string, outbox bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for queue := range c.queues {
		queues = append(queues, queue)
		outbox = outbox || queue == ""
	}
	slices.Sort(queues)
	return queues, outbox
}

// run does the chores until ctx ends.
func (c *chores) run(ctx context.Context) error {
	var tending sync.WaitGroup
	defer tending.Wait()
	tending.Go(func() { c.tend(ctx) })
	committed := c.link.s.hint.watch()
	defer c.link.s.hint.unwatch(committed)
	for {
		next := duePoll
		if queues, _ := c.mine(); len(queues) > 0 {
			var err error
			if next, err = c.release(ctx, queues); err != nil && ctx.Err() == nil {
				c.complain(ctx, "scheduled messages could not be released, trying again", err)
				next = duePoll
			}
		}
		if pause(ctx, dueGather) != nil {
			return nil
		}
		timer := time.NewTimer(max(next-dueGather, 0))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-committed:
		case <-c.wake:
		}
		timer.Stop()
	}
}

// release gives scheduled rows whose time has come their place, in the order of (due, id), and returns how long to wait for the next.
func (c *chores) release(_ context.Context, queues []string) (next time.Duration, err error) {
	const look = `SELECT extract(epoch FROM min(first.due) - clock_timestamp())::float8 FROM unnest($1::text[]) AS q (queue)
		CROSS JOIN LATERAL (SELECT due FROM {schema}.letters WHERE queue = q.queue AND state = 0 AND due IS NOT NULL ORDER BY due LIMIT 1) AS first`
	for {
		released := false
		err := c.link.do(func(ctx context.Context, conn *pgx.Conn) error {
			var wait *float64 // in seconds; nil: there is none
			err := conn.QueryRow(ctx, c.link.s.sql(look), queues).Scan(&wait)
			switch {
			case err != nil || wait == nil:
				next = duePoll
			case *wait > 0:
				next = min(time.Duration(*wait*float64(time.Second))+time.Millisecond, duePoll)
			default:
				released = true
				err = c.releaseSome(ctx, conn, queues)
			}
			return err
		})
		if err != nil || !released {
			return next, err
		}
		c.link.s.hint.committed()
	}
}

func (c *chores) releaseSome(ctx context.Context, conn *pgx.Conn, queues []string) error {
	const due = `SELECT first.id FROM unnest($1::text[]) AS q (queue) CROSS JOIN LATERAL (
		SELECT due, id FROM {schema}.letters WHERE queue = q.queue AND state = 0 AND due <= clock_timestamp() ORDER BY due, id LIMIT $2
		FOR UPDATE SKIP LOCKED) AS first ORDER BY first.due, first.id LIMIT $2`
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, c.link.s.sql(due), queues, dueRows)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		part := &txPart{s: c.link.s, on: pgxSession{tx}}
		_, err = part.Move(ctx, store.Ready, ids...)
		return err
	})
}

// tend sees after the outbox's parts and the claims, until ctx ends.
func (c *chores) tend(ctx context.Context) {
	var forgot time.Time
	for {
		if _, outbox := c.mine(); outbox {
			if err := c.link.s.rotate(ctx); err != nil && ctx.Err() == nil {
				c.complain(ctx, "the outbox could not be rotated, trying again", err)
			}
			if time.Since(forgot) > forgetEvery {
				forgot = time.Now()
				if err := c.link.s.forget(ctx); err != nil && ctx.Err() == nil {
					c.complain(ctx, "old claims could not be forgotten, trying again later", err)
				}
			}
		}
		every := c.link.s.timing.chores
		if pause(ctx, every*4/5+rand.N(every*2/5)) != nil {
			return
		}
	}
}

func (c *chores) complain(ctx context.Context, what string, err error) {
	c.mu.Lock()
	known := time.Since(c.complained[what]) < forgetEvery
	if !known {
		c.complained[what] = time.Now()
	}
	c.mu.Unlock()
	if known {
		return
	}
	c.link.s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "a chore of the outbox failed", slog.String("what", what), slog.Any("error", err))
}
