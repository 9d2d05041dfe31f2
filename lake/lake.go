// Package lake archives every public event in a table of the service's own database: append-only, each message once.
//
//	if err := lake.Migrate(ctx, db); err != nil {
//		return err
//	}
//	lake.Add(app.Module, lake.Config{})
//	…
//	for m, err := range lake.Read(ctx, db, lake.Filter{Key: "hamlet"}) {
//
// [Replay] reads what a subscription to one event would have handled.
//
// The lake is a subscription like any other. It stores whatever is on the topics that it is given, of every type and version, as it came: a
// topology that keeps internal events off those topics keeps them out of the lake, and if one ever gets there, the lake shows it.
//
// A message is stored once for each source, id and type, however often it is delivered: what is told in two versions ([tidings.Twins]) is there in both. Its position in the lake is given in the transaction that
// stores it, under a lock: who has read up to a position never finds a smaller one later, and messages of one key stand in the order in which
// they were published. So the table can be followed by remembering one number.
//
// The package works on SQLite and PostgreSQL, through [store.SQLTx].
package lake

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/store"
)

// Config has a useful zero value.
type Config struct {
	// Topics are what is archived. Default: "events", the shared topic of topology Shared.
	Topics []string
	// Name is the subscription's name. Default "lake".
	Name string
	// Batch says how many messages are stored in one transaction. Default: 500 messages, or what came in 50 ms.
	Batch tidings.Batch
}

// DB is what the lake needs of a database: a *sql.DB, *sql.Tx or *store.SQLTx.
type DB interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Add gives the module a subscription that archives all messages of the topics. The app's store must have *store.SQLTx as its native transaction, and
// [Migrate] must have been called on its database.
func Add(m *tidings.Module, cfg Config) {
	if len(cfg.Topics) == 0 {
		cfg.Topics = []string{"events"}
	}
	cfg.Batch.Size = cmp.Or(cfg.Batch.Size, 500)
	cfg.Batch.Wait = cmp.Or(cfg.Batch.Wait, 50*time.Millisecond)
	m.Subscribe(
		tidings.Subscription{Name: cmp.Or(cfg.Name, "lake"), Topics: cfg.Topics, OnFailure: tidings.Block},
		tidings.OnBatchTx(tidings.Every(), cfg.Batch, keep),
	)
}

// schema is SQL that SQLite and PostgreSQL both take.
var schema = []string{
	`CREATE TABLE IF NOT EXISTS tidings_lake (
		position       BIGINT PRIMARY KEY,
		id             TEXT   NOT NULL,
		source         TEXT   NOT NULL,
		type           TEXT   NOT NULL,
		subject        TEXT   NOT NULL,
		key            TEXT   NOT NULL,
		time           TEXT   NOT NULL,
		correlation_id TEXT   NOT NULL,
		causation_id   TEXT   NOT NULL,
		trace_parent   TEXT   NOT NULL,
		trace_state    TEXT   NOT NULL,
		data_schema    TEXT   NOT NULL,
		content_type   TEXT   NOT NULL,
		extensions     TEXT   NOT NULL,
		headers        TEXT   NOT NULL,
		data           BYTEA  NOT NULL,
		stored_at      TEXT   NOT NULL,
		UNIQUE (source, id, type)
	)`,
	`CREATE INDEX IF NOT EXISTS tidings_lake_type ON tidings_lake (type, position)`,
	`CREATE INDEX IF NOT EXISTS tidings_lake_key ON tidings_lake (key, position)`,
	// The last position that was given. Its one row is locked by whoever stores, until the commit.
	`CREATE TABLE IF NOT EXISTS tidings_lake_end (
		one      BIGINT PRIMARY KEY CHECK (one = 1),
		position BIGINT NOT NULL
	)`,
}

// Migrate makes the lake's tables. It is safe to call again and, with a *sql.DB, from many processes at once.
func Migrate(ctx context.Context, db DB) error {
	for _, statement := range schema {
		_, err := db.ExecContext(ctx, statement)
		if err == nil {
			continue
		}
		// In PostgreSQL IF NOT EXISTS fails where another session makes the same thing at the same time. By then it is there.
		if _, again := db.ExecContext(ctx, statement); again != nil {
			return fmt.Errorf("lake: make the tables: %w", err)
		}
	}
	return nil
}

// rowsPerInsert bounds the parameters of a statement: databases have limits.
const rowsPerInsert = 50

// keep stores a batch.
func keep(ctx context.Context, tx *store.SQLTx, batch []*tidings.Delivery[tidings.Raw]) error {
	end, err := reserve(ctx, tx, len(batch))
	if err != nil {
		return err
	}
	position := end - int64(len(batch))
	now := formatTime(time.Now())
	for len(batch) > 0 {
		n := min(len(batch), rowsPerInsert)
		args := make([]any, 0, n*columnCount)
		for _, d := range batch[:n] {
			position++
			if args, err = appendArgs(args, position, &d.Message, now); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, insertStatement(n), args...); err != nil {
			return fmt.Errorf("lake: store %d messages: %w", n, err)
		}
		batch = batch[n:]
	}
	return nil
}

// reserve takes n positions and returns the last of them. No other transaction gets any until this one has ended.
func reserve(ctx context.Context, tx *store.SQLTx, n int) (int64, error) {
	const advance = `INSERT INTO tidings_lake_end (one, position) VALUES (1, $1)
		ON CONFLICT (one) DO UPDATE SET position = tidings_lake_end.position + $1 RETURNING position`
	var end int64
	if err := tx.QueryRowContext(ctx, advance, n).Scan(&end); err != nil {
		return 0, fmt.Errorf("lake: reserve %d positions: %w", n, err)
	}
	return end, nil
}
