package postgres

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// slots are the parts of the outbox. What is behind them in a list by slots are letters.
	slots = 3
	// settleGather is the least time between two deletes: each is a commit, and many rows in one cost little more than one.
	settleGather = 20 * time.Millisecond
	// settleRows is how many rows one statement deletes at most.
	settleRows = 2000
)

// settler deletes what the lanes' owners have finished, of all lanes together.
type settler struct {
	link    *link
	deletes [slots + 1]*pgconn.StatementDescription
	wake    chan struct{}

	mu      sync.Mutex
	waiting *settlement
}

// settlement is a delete that callers wait for.
type settlement struct {
	ids  slotIDs
	done chan struct{}
	err  error
}

func newSettler(k *link) *settler {
	return &settler{link: k, wake: make(chan struct{}, 1), waiting: newSettlement()}
}

func newSettlement() *settlement { return &settlement{done: make(chan struct{})} }

// settle waits until the rows are deleted. After the end of ctx they may be all the same.
func (s *settler) settle(ctx context.Context, ids slotIDs) error {
	s.mu.Lock()
	mine := s.waiting
	for slot := range ids {
		mine.ids[slot] = append(mine.ids[slot], ids[slot]...)
	}
	s.mu.Unlock()
	wake(s.wake)
	select {
	case <-mine.done:
		return mine.err
	case <-s.link.ctx.Done():
		return context.Cause(s.link.ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run deletes until ctx ends: at once when it is idle, and else what has come meanwhile.
func (s *settler) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		s.mu.Lock()
		now := s.waiting
		s.waiting = newSettlement()
		s.mu.Unlock()
		now.err = s.link.do(func(ctx context.Context, conn *pgx.Conn) error { return s.delete(ctx, conn.PgConn(), now.ids) })
		close(now.done)
		_ = pause(ctx, settleGather) // The end of ctx is seen above.
	}
}

// delete deletes exactly these rows, as far as they are there.
func (s *settler) delete(ctx context.Context, conn *pgconn.PgConn, ids slotIDs) error {
	if err := s.prepare(ctx, conn); err != nil {
		return err
	}
	pipeline := conn.StartPipeline(ctx)
	for slot := range ids {
		slices.Sort(ids[slot]) // Neighbours are on one page.
		for some := range slices.Chunk(ids[slot], settleRows) {
			pipeline.SendQueryStatement(s.deletes[slot], [][]byte{idArray(some)}, nil, nil)
		}
	}
	if err := pipeline.Sync(); err != nil {
		_ = pipeline.Close() // The first error counts.
		return err
	}
	return pipeline.Close()
}

// prepare prepares the statements, at first use.
func (s *settler) prepare(ctx context.Context, conn *pgconn.PgConn) error {
	for slot := range s.deletes {
		if s.deletes[slot] != nil {
			continue
		}
		prepared, err := conn.Prepare(ctx, "settle "+strconv.Itoa(slot), s.link.s.settleStatement(slot), nil)
		if err != nil {
			return err
		}
		s.deletes[slot] = prepared
	}
	return nil
}

// settleStatement deletes the rows $1 of a slot. Letters that were moved meanwhile have another state.
func (s *Store) settleStatement(slot int) string {
	if slot == slots {
		return `DELETE FROM ` + s.schema + `.letters WHERE id = ANY($1::bigint[]) AND state = 0 AND due IS NULL`
	}
	return `DELETE FROM ` + s.partition(int16(slot)) + ` WHERE id = ANY($1::bigint[])`
}

// idArray writes ids as PostgreSQL reads an array.
func idArray(ids []int64) []byte {
	b := []byte{'{'}
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, id, 10)
	}
	return append(b, '}')
}
