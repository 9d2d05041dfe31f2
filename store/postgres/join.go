package postgres

import (
	"database/sql"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/store"
)

// Join lets a transaction that the caller began, and will commit, hold events. It is for programs that own their transactions;
// [Store.InTx] saves a round trip, wakes the relay at once, and can't be used wrongly:
//
//	tx, err := pool.Begin(ctx)
//	…                                                              // all the statements
//	err = Made.Publish(ctx, app.Outbox(postgres.Join(tx)), event)  // publish last
//	err = tx.Commit(ctx)
//
// Events are written when they are published, not at the commit, which tidings doesn't see. So publish last, behind all statements that lock rows: an event
// that was published before its transaction waited for another's lock may come out before that other's events. Nothing can check this. A savepoint's
// rollback takes back the events that were published within. The relay sees the events at its next look, within [Config.Poll].
//
// The schema is [DefaultSchema], and limits are those of [Config]'s zero value; [Store.Join] knows its store's. A nil tx gives a nil Tx, which
// everything in tidings refuses with [store.ErrTxDone].
func Join(tx pgx.Tx) *Tx { return elsewhere().Join(tx) }

// JoinSQL is [Join] for a transaction of database/sql, which must be on pgx's driver (github.com/jackc/pgx/v5/stdlib).
func JoinSQL(tx *sql.Tx) *store.SQLTx { return elsewhere().JoinSQL(tx) }

// Join is the function [Join] with this store's schema and limits.
func (s *Store) Join(tx pgx.Tx) *Tx {
	if tx == nil {
		return nil
	}
	return &Tx{inner: tx, part: &txPart{s: s, on: pgxSession{tx}, direct: true}}
}

// JoinSQL is the function [JoinSQL] with this store's schema and limits.
func (s *Store) JoinSQL(tx *sql.Tx) *store.SQLTx {
	if tx == nil {
		return nil
	}
	return store.NewSQLTx(tx, &txPart{s: s, on: sqlSession{tx}, direct: true})
}

// elsewhere is a store that knows no more than the names of the tables.
func elsewhere() *Store {
	cfg, _ := Config{}.withDefaults() // The zero value is never wrong.
	return &Store{cfg: cfg, schema: quoted(cfg.Schema), limits: newLimits(cfg)}
}
