package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tidings-go/tidings/store"
)

// runOnceSQL runs fn in one transaction of database/sql.
func (s *Store) runOnceSQL(ctx context.Context, fn func(ctx context.Context, tx store.Native) error) error {
	conn, err := s.sqlTxs.Conn(ctx)
	if err != nil {
		return explain("begin", err)
	}
	defer func() { _ = conn.Close() }() // It goes back to the pool, which looks at its state.
	p := &txPart{s: s}
	err = conn.Raw(func(raw any) error {
		c, ok := raw.(*sqlConn)
		if !ok {
			return fmt.Errorf("the connection is a %T", raw)
		}
		c.commit = func() error { return p.commit(ctx, c.Conn.Conn()) }
		return nil
	})
	if err != nil {
		return explain("begin", err)
	}
	// database/sql must not roll back by itself, on another goroutine, in the middle of fn: so its context is not ctx.
	begun, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return explain("begin", err)
	}
	p.on = sqlSession{begun}
	defer func() {
		p.end()
		_ = begun.Rollback() // If fn failed, panicked or ended its goroutine; otherwise it does nothing.
	}()
	if err := fn(context.WithValue(ctx, within{s}, p), store.NewSQLTx(begun, p)); err != nil {
		return err
	}
	return begun.Commit()
}

// openSQL opens a pool for the transactions of database/sql that this package begins.
func openSQL(pool *pgxpool.Pool) *sql.DB {
	db := sql.OpenDB(sqlConnector{stdlib.GetPoolConnector(pool)})
	db.SetMaxIdleConns(0) // The pool keeps them.
	return db
}

// sqlConnector makes connections whose commit is ours.
type sqlConnector struct{ driver.Connector }

// Connect implements [driver.Connector].
func (c sqlConnector) Connect(ctx context.Context) (driver.Conn, error) {
	raw, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := raw.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("pgx's connection is a %T", raw)
	}
	return &sqlConn{Conn: conn}, nil
}

// sqlConn is a connection of database/sql for one transaction. When it commits, events go along on the same trip to the server.
type sqlConn struct {
	*stdlib.Conn
	commit func() error
}

// BeginTx implements [driver.ConnBeginTx].
func (c *sqlConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	begun, err := c.Conn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return sqlEnd{begun, c}, nil
}

// sqlEnd ends a transaction.
type sqlEnd struct {
	driver.Tx
	conn *sqlConn
}

// Commit implements [driver.Tx].
func (e sqlEnd) Commit() error { return e.conn.commit() }
