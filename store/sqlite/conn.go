package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"modernc.org/sqlite"
)

// cachedStatements is how many prepared statements the writing connection keeps. Preparing costs as much as running a small one.
const cachedStatements = 64

// connector opens the connection that writes.
type connector struct{ driver.Connector }

// Connect implements [driver.Connector].
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	raw, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := raw.(driverConn)
	if !ok {
		return nil, fmt.Errorf("the SQLite driver's connection %T lacks methods of database/sql/driver", raw)
	}
	return &conn{driverConn: full, idle: map[string]driverStmt{}}, nil
}

// driverConn is what the driver's connection can do.
type driverConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.SessionResetter
	driver.Validator
	Status(op sqlite.DBStatusOp, reset bool) (current, high int, err error)
}

// driverStmt is what the driver's statements can do.
type driverStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// driverRows is what the driver's rows can do.
type driverRows interface {
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// conn is the connection that writes. Within a group's transaction, which [writer] begins and commits, a transaction of
// database/sql is a savepoint: so each function of the group has an [sql.Tx] of its own, which ends when the function does.
//
// Statements in a group are not interrupted when their context ends, since SQLite answers an interrupt by rolling back the whole
// transaction, and with it the work of others. The context is looked at between statements.
type conn struct {
	driverConn
	idle map[string]driverStmt
}

// BeginTx begins a savepoint.
func (c *conn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	if err := c.run("SAVEPOINT tidings_part"); err != nil {
		return nil, err
	}
	return savepoint{c}, nil
}

// ExecContext runs a statement that it has prepared before, if it can.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(query)
	if err != nil {
		return nil, err
	}
	defer c.put(query, s)
	return s.ExecContext(context.WithoutCancel(ctx), args)
}

// QueryContext runs a query that it has prepared before, if it can.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(query)
	if err != nil {
		return nil, err
	}
	raw, err := s.QueryContext(context.WithoutCancel(ctx), args)
	if err != nil {
		c.put(query, s)
		return nil, err
	}
	full, ok := raw.(driverRows)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the SQLite driver's rows %T lack methods of database/sql/driver", raw), raw.Close(), s.Close())
	}
	return &rows{driverRows: full, closed: func() { c.put(query, s) }}, nil
}

// PrepareContext implements [driver.ConnPrepareContext].
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.prepare(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil, err
	}
	return stmt{s}, nil
}

// begin begins a group's transaction. It waits for writers of other processes, as long as ctx and the busy timeout allow.
func (c *conn) begin(ctx context.Context) error {
	s, err := c.take("BEGIN IMMEDIATE")
	if err != nil {
		return err
	}
	defer c.put("BEGIN IMMEDIATE", s)
	_, err = s.ExecContext(ctx, nil)
	return err
}

// commit commits a group's transaction, or rolls it back if that is impossible.
func (c *conn) commit() error {
	err := c.run("COMMIT")
	if err != nil {
		return errors.Join(err, c.run("ROLLBACK"))
	}
	return nil
}

func (c *conn) run(query string) error {
	_, err := c.ExecContext(context.Background(), query, nil)
	return err
}

// take gives the prepared statement to the caller alone until put: a statement can be in use only once.
func (c *conn) take(query string) (driverStmt, error) {
	if s, ok := c.idle[query]; ok {
		delete(c.idle, query)
		return s, nil
	}
	return c.prepare(context.Background(), query)
}

func (c *conn) put(query string, s driverStmt) {
	if _, ok := c.idle[query]; ok || len(c.idle) >= cachedStatements {
		_ = s.Close()
		return
	}
	c.idle[query] = s
}

func (c *conn) prepare(ctx context.Context, query string) (driverStmt, error) {
	s, err := c.driverConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	full, ok := s.(driverStmt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the SQLite driver's statement %T lacks methods of database/sql/driver", s), s.Close())
	}
	return full, nil
}

// Close closes the statements and the connection.
func (c *conn) Close() error {
	for _, s := range c.idle {
		_ = s.Close()
	}
	return c.driverConn.Close()
}

// savepoint is what database/sql takes for the transaction.
type savepoint struct{ c *conn }

// Commit keeps what was written for the group's commit. Deferred foreign keys are checked here: at the group's commit their
// violation would fail everybody.
func (s savepoint) Commit() error {
	open, _, err := s.c.Status(sqlite.DBStatusDeferredFKs, false)
	if err == nil && open != 0 {
		err = errors.New("FOREIGN KEY constraint failed at the end of the transaction")
	}
	if err != nil {
		return errors.Join(err, s.Rollback())
	}
	if err := s.c.run("RELEASE tidings_part"); err != nil {
		return errBroken{err}
	}
	return nil
}

// Rollback undoes what was written since the savepoint.
func (s savepoint) Rollback() error {
	if err := s.c.run("ROLLBACK TO tidings_part"); err != nil {
		return errBroken{err}
	}
	if err := s.c.run("RELEASE tidings_part"); err != nil {
		return errBroken{err}
	}
	return nil
}

// errBroken says that the savepoint is gone and with it the group's transaction: a full disk, or a statement such as
// INSERT OR ROLLBACK, made SQLite roll all of it back.
type errBroken struct{ err error }

func (e errBroken) Error() string { return "the whole transaction was rolled back: " + e.err.Error() }
func (e errBroken) Unwrap() error { return e.err }

// stmt is a statement that is not interrupted, see [conn].
type stmt struct{ driverStmt }

// ExecContext implements [driver.StmtExecContext].
func (s stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.driverStmt.ExecContext(context.WithoutCancel(ctx), args)
}

// QueryContext implements [driver.StmtQueryContext].
func (s stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.driverStmt.QueryContext(context.WithoutCancel(ctx), args)
}

// rows give their statement back when they are closed.
type rows struct {
	driverRows
	closed func()
}

// Close implements [driver.Rows].
func (r *rows) Close() error {
	err := r.driverRows.Close()
	if r.closed != nil {
		r.closed()
		r.closed = nil
	}
	return err
}
