package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

// errPooled says that two sessions are one, or one is several.
var errPooled = errors.New("the URL leads through a pooler of transactions, and lanes need sessions of their own: set Config.Direct to a URL that leads past it")

// Settings of sessions. The planner must not be clever: each statement was written for its indexes, and a plan is made once. What gets lost
// in a crash of the server of what control writes, a delete or a lease, only makes duplicates.
const (
	plainSettings = `set_config('default_transaction_isolation', 'read committed', false), set_config('plan_cache_mode', 'force_generic_plan', false),
		set_config('jit', 'off', false), set_config('enable_seqscan', 'off', false)`
	readSettings    = `SELECT ` + plainSettings + `, set_config('enable_bitmapscan', 'off', false)`
	controlSettings = `SELECT ` + plainSettings + `, set_config('synchronous_commit', 'off', false), set_config('lock_timeout', '5s', false)`
)

// connect opens a session.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	cfg := s.direct.Copy()
	if prepare := s.pool.Config().BeforeConnect; prepare != nil && s.cfg.Direct == "" {
		if err := prepare(ctx, cfg); err != nil {
			return nil, err
		}
	}
	return pgx.ConnectConfig(ctx, cfg)
}

// open makes the link's sessions.
func (k *link) open(ctx context.Context) (err error) {
	if k.conn, err = k.s.connect(ctx); err != nil {
		return err
	}
	if k.control.conn, err = k.s.connect(ctx); err != nil {
		return err
	}
	if err = k.probe(ctx); err != nil {
		return err
	}
	if err = plainly(ctx, k.conn, readSettings); err != nil {
		return err
	}
	if err = plainly(ctx, k.control.conn, controlSettings); err != nil {
		return err
	}
	for _, r := range []*reader{k.outbox, k.letters} {
		if r.tail, err = k.conn.PgConn().Prepare(ctx, r.lane+" tail", r.sql(tailStatement), nil); err != nil {
			return err
		}
		if r.chunk, err = k.conn.PgConn().Prepare(ctx, r.lane+" chunk", r.sql(chunkStatement), nil); err != nil {
			return err
		}
	}
	return nil
}

// probe finds out whether something in between gives the server's processes to whoever has a transaction. One of them is used in a
// transaction that stays open while the other asks: then a process that is shared shows up twice, or another one answers.
func (k *link) probe(ctx context.Context) (err error) {
	if k.pid, err = process(ctx, k.conn); err != nil {
		return err
	}
	if err = plainly(ctx, k.control.conn, `BEGIN`); err != nil {
		return err
	}
	control, err := process(ctx, k.control.conn)
	if err != nil {
		return err
	}
	if control == k.pid {
		return errPooled
	}
	again, err := process(ctx, k.conn)
	if err != nil {
		return err
	}
	if again != k.pid {
		return errPooled
	}
	return plainly(ctx, k.control.conn, `COMMIT`)
}

// plainly runs a statement without preparing it: through a pooler that would fail before anything can be said about poolers.
func plainly(ctx context.Context, conn *pgx.Conn, statement string) error {
	_, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol)
	return err
}

// process is the server process that answers.
func process(ctx context.Context, conn *pgx.Conn) (pid int64, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return pid, err
}

// control is the session that writes. Whoever has something to do there takes his turn.
type control struct {
	mu   sync.Mutex
	conn *pgx.Conn
}

// do runs fn with the session. The time that it may take is not that of any caller: a statement that is interrupted ends the session.
func (k *link) do(fn func(ctx context.Context, conn *pgx.Conn) error) error {
	k.control.mu.Lock()
	defer k.control.mu.Unlock()
	if k.ctx.Err() != nil {
		return context.Cause(k.ctx)
	}
	ctx, cancel := context.WithTimeout(k.ctx, statementTime)
	defer cancel()
	err := fn(ctx, k.control.conn)
	if k.control.conn.IsClosed() {
		k.fail(fmt.Errorf("write: %w", err))
	}
	return err
}

func (k *link) closeSessions() {
	for _, conn := range []*pgx.Conn{k.conn, k.control.conn} {
		if conn != nil {
			closeQuietly(conn)
		}
	}
}
