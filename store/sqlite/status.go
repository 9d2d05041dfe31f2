package sqlite

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/tidings-go/tidings/store"
)

var _ store.Admin = (*Store)(nil)

// Script implements [store.Admin].
func (s *Store) Script() string {
	files, _ := fs.Glob(migrations, "migrations/*.sql") // The pattern is right, and that is all that can go wrong.
	var script strings.Builder
	script.WriteString(versions + ";\n")
	for i, file := range files {
		step, _ := migrations.ReadFile(file)
		name := filepath.Base(file)
		fmt.Fprintf(&script, "\n-- %s\n%sINSERT INTO tidings_migrations (version, name, at) VALUES (%d, '%s', unixepoch() * 1000000000);\n", name, step, i+1, name)
	}
	return script.String()
}

// Status implements [store.Admin].
func (s *Store) Status(ctx context.Context) (store.Status, error) {
	status, err := s.status(ctx)
	return status, explain("status", err)
}

func (s *Store) status(ctx context.Context) (status store.Status, err error) {
	files, _ := fs.Glob(migrations, "migrations/*.sql")
	status.Latest = len(files)
	if status.Version, err = version(ctx, s.db); err != nil || status.Version == 0 {
		return status, err
	}
	const last = `SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'tidings_rows'`
	if err = s.db.QueryRowContext(ctx, last).Scan(&status.LastID); err != nil {
		return status, err
	}
	if status.Queues, err = s.queues(ctx); err != nil {
		return status, err
	}
	status.Lanes, err = s.owners()
	return status, err
}

func (s *Store) queues(ctx context.Context) (queues []store.QueueStatus, err error) {
	const count = `SELECT queue, sum(state = 0 AND due = 0), sum(state = 0 AND due > 0), sum(state = 1), sum(state = 2),
		coalesce(min(CASE WHEN state = 0 AND due = 0 THEN created END), 0) FROM tidings_rows GROUP BY queue ORDER BY queue`
	rows, err := s.db.QueryContext(ctx, count)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var q store.QueueStatus
		var oldest int64
		if err := rows.Scan(&q.Queue, &q.Ready, &q.Scheduled, &q.Dead, &q.Held, &oldest); err != nil {
			return nil, err
		}
		if oldest > 0 {
			q.Oldest = time.Unix(0, oldest)
		}
		queues = append(queues, q)
	}
	return queues, rows.Err()
}

// owners finds the queues whose lane somebody has, by trying the lock that shows it.
func (s *Store) owners() (lanes []store.LaneStatus, err error) {
	files, err := os.ReadDir(filepath.Dir(s.lockFile("")))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(strings.TrimPrefix(f.Name(), "queue-"), ".lock")
		if !ok {
			continue
		}
		queue, err := url.QueryUnescape(name)
		if err != nil {
			continue // Not one of ours.
		}
		lock := flock.New(s.lockFile(queue))
		free, err := lock.TryRLock()
		_ = lock.Close()
		if err == nil && !free {
			lanes = append(lanes, store.LaneStatus{Queue: queue, Owner: "a process of this machine"})
		}
	}
	return lanes, nil
}
