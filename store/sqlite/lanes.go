package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/tidings-go/tidings/broker"
)

const (
	// lockPoll is how often a replica that waits for a lane tries to get it.
	lockPoll = 100 * time.Millisecond
	// safetyPoll is how often a lane looks for rows that nobody told it about.
	safetyPoll = time.Second
	// chunk is how many rows one transaction deletes or releases, so that nobody waits long for it.
	chunk = 1024
)

// Lanes implements [store.Store]. A queue is one lane. Its owner is who has the operating system's lock on a file beside the database, which is
// the best kind of lease for processes of one machine: it is free at the very moment when its owner dies, and needs neither a clock nor writes.
func (s *Store) Lanes(ctx context.Context, queue string, each func(ctx context.Context, lane broker.Partition)) error {
	file := s.lockFile(queue)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("sqlite: lanes of queue %q: %w", queue, err)
	}
	lock := flock.New(file)
	defer func() { _ = lock.Close() }()
	for {
		_, err := lock.TryLockContext(ctx, lockPoll)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("sqlite: lanes of queue %q: lock %s: %w", queue, file, err)
		}
		s.own(ctx, queue, each)
		if err := lock.Unlock(); err != nil {
			return fmt.Errorf("sqlite: lanes of queue %q: unlock %s: %w", queue, file, err)
		}
		if pause(ctx, 2*lockPoll) != nil { // Others may have it now.
			return nil
		}
	}
}

func (s *Store) lockFile(queue string) string {
	return filepath.Join(s.path+"-lanes", "queue-"+url.QueryEscape(queue)+".lock")
}

// own offers the lane while this process owns it.
func (s *Store) own(ctx context.Context, queue string, each func(ctx context.Context, lane broker.Partition)) {
	l := &lane{s: s, queue: queue, stop: ctx.Done(), wake: s.watch.add(queue)}
	defer s.watch.remove(l.wake)
	var cleaning sync.WaitGroup
	defer cleaning.Wait()
	owned, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	if queue == "" {
		cleaning.Go(func() { s.forget(owned) })
	}
	each(owned, l)
}

// forget deletes claims that are older than the retention, now and then, a few at a time.
func (s *Store) forget(ctx context.Context) {
	const oldest = `DELETE FROM tidings_seen WHERE n IN (SELECT n FROM tidings_seen ORDER BY n LIMIT $1) AND at < $2`
	for {
		var n int64
		err := s.writer.do(ctx, func(tx *sql.Tx) error {
			done, err := tx.ExecContext(ctx, oldest, chunk, time.Now().Add(-s.cfg.Retention).UnixNano())
			if err != nil {
				return err
			}
			n, err = done.RowsAffected()
			return err
		})
		wait := 10 * time.Minute
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "old claims could not be deleted, trying again later", slog.Any("error", err))
		} else if n == chunk {
			wait = 50 * time.Millisecond
		}
		if pause(ctx, wait) != nil {
			return
		}
	}
}

// lane is a queue's ready rows in the order of their ids. As SQLite has one writer at a time, that is the order of their commits, and
// what was read up to an id is complete. A new lane begins with the oldest row that is present.
type lane struct {
	s     *Store
	queue string
	last  int64
	stop  <-chan struct{}
	wake  chan struct{}
}

// Fetch implements [broker.Partition].
func (l *lane) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	for {
		select {
		case <-l.stop:
			return nil, io.EOF
		default:
		}
		next, err := l.release(ctx)
		if err != nil {
			return nil, explain("release scheduled rows", err)
		}
		rows, err := l.read(ctx, limit, maxBytes)
		if err != nil || len(rows) > 0 {
			return rows, explain("fetch", err)
		}
		if err := l.wait(ctx, next); err != nil {
			return nil, err
		}
	}
}

// wait returns when there may be something to do, at the latest at next.
func (l *lane) wait(ctx context.Context, next time.Time) error {
	d := safetyPoll
	if !next.IsZero() {
		d = min(d, time.Until(next))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.stop:
	case <-l.wake:
	case <-timer.C:
	}
	return nil
}

// release gives scheduled rows whose time has come their place, and returns when the next will be due.
func (l *lane) release(ctx context.Context) (time.Time, error) {
	const first = `SELECT coalesce(min(due), 0) FROM tidings_rows INDEXED BY tidings_rows_due WHERE queue = $1 AND state = 0 AND due > 0`
	const due = `SELECT json_group_array(id) FROM (SELECT id FROM tidings_rows INDEXED BY tidings_rows_due
		WHERE queue = $1 AND state = 0 AND due > 0 AND due <= $2 ORDER BY due, id LIMIT $3)`
	for {
		var next int64
		if err := l.s.db.QueryRowContext(ctx, first, l.queue).Scan(&next); err != nil || next == 0 {
			return time.Time{}, err
		}
		now := time.Now().UnixNano()
		if next > now {
			return time.Unix(0, next), nil
		}
		err := l.s.writer.do(ctx, func(tx *sql.Tx) error {
			var ids string
			if err := tx.QueryRowContext(ctx, due, l.queue, now, chunk).Scan(&ids); err != nil {
				return err
			}
			return requeueRows(ctx, tx, ids)
		})
		if err != nil {
			return time.Time{}, err
		}
	}
}

func (l *lane) read(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	const ready = `SELECT id, ` + columns + ` FROM tidings_rows INDEXED BY tidings_rows_ready
		WHERE queue = $1 AND state = 0 AND due = 0 AND id > $2 ORDER BY id LIMIT $3`
	rows, err := l.s.db.QueryContext(ctx, ready, l.queue, l.last, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var deliveries []broker.Delivery
	last, size := l.last, 0
	for size < maxBytes && rows.Next() {
		r, err := scanRow(rows)
		if err != nil {
			return nil, err
		}
		deliveries = append(deliveries, broker.Delivery{Record: r.Record, Sequence: uint64(r.ID), Time: r.Created})
		last, size = r.ID, size+r.Record.Size()
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	l.last = last
	return deliveries, nil
}

// Settle implements [broker.Partition]: it deletes the rows that are done. What has been moved elsewhere meanwhile stays.
func (l *lane) Settle(ctx context.Context, settled broker.Settlement) error {
	const gone = `DELETE FROM tidings_rows WHERE id IN (SELECT value FROM json_each($1)) AND state = 0 AND queue = $2`
	for ids := range slices.Chunk(settled.Done, chunk) {
		err := l.s.writer.do(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, gone, idList(ids), l.queue)
			return err
		})
		if err != nil {
			return explain("settle", err)
		}
	}
	return nil
}
