// Package store is the port to what keeps outbox, inbox and dead letters beside the user's data, in the same database and
// so in the same transactions.
//
// A [Store] keeps rows: records that wait in a queue. The queue "" is the outbox, whose rows a relay moves to the broker;
// a queue named like a subscription's group holds what that subscription gave up on. What makes the outbox safe is one sentence:
// a row is there from the commit of the transaction that appended it until somebody settled it.
//
//	err := s.InTx(ctx, func(ctx context.Context, native store.Native) error {
//		tx := native.(*sqlite.Tx)
//		if _, err := tx.ExecContext(ctx, "INSERT INTO bookings …"); err != nil {
//			return err
//		}
//		return native.StoreTx().Append(ctx, store.Row{Record: record})
//	})
//
// Users of tidings touch this package only for [SQLTx]. Who writes an adapter implements [Store] and calls storetest.Run.
package store

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// Errors that callers tell apart. An adapter wraps them with what it was doing.
var (
	// ErrTxDone says that a transaction was used after its end, or that there is none.
	ErrTxDone = errors.New("transaction is nil or has already ended")
	// ErrNewer says that the database was migrated by a newer version of tidings.
	ErrNewer = errors.New("the database has a newer version than this program knows")
	// ErrNotMigrated says that the tables are missing or old: call Migrate.
	ErrNotMigrated = errors.New("tidings' tables are missing or old: start the service, which makes them, or run tidings migrate up")
	// ErrOutboxFull says that the outbox holds as many rows, or rows as old, as its store was configured to let it.
	ErrOutboxFull = errors.New("the outbox is full")
)

// Store keeps rows beside the user's data. It is safe for concurrent use.
type Store interface {
	// InTx runs fn in one transaction: commit when it returns nil, rollback when it returns an error or panics.
	// Rows that were appended become visible with the commit and not before. The native transaction is of the type of Native.
	InTx(ctx context.Context, fn func(ctx context.Context, tx Native) error) error

	// Lanes offers the ready rows of a queue as ordered partitions, under the rules of [broker.Broker.Consume]: each lane has one owner over all
	// processes, ctx's end makes Fetch return io.EOF, returning gives the lane back. Settling a row (Done) deletes it. Rows of one
	// topic and key are in one lane, in the order of their commits. A row whose time has not come is not offered.
	Lanes(ctx context.Context, queue string, each func(ctx context.Context, lane broker.Partition)) error

	// List reads rows in the order of their ids. It takes no part in any transaction.
	List(ctx context.Context, f Filter) iter.Seq2[Row, error]

	// Migrate brings the tables to the version that this program knows. It is safe to call again, and from many processes at once.
	Migrate(ctx context.Context) error

	// Native is a nil pointer of the type that InTx hands out. It is compared with what reactions ask for before anything runs.
	Native() Native
}

// Native is a database's own transaction that carries tidings' part: *sqlite.Tx, *postgres.Tx, *SQLTx.
type Native interface {
	// StoreTx is tidings' part of the transaction. It is nil for a nil transaction.
	StoreTx() Tx
}

// Tx is tidings' part of a transaction. It is used by one goroutine at a time and fails with [ErrTxDone] after the end.
type Tx interface {
	// Append adds rows. They are kept in memory and written in one statement right before the commit, so that ids follow the order in
	// which transactions that touch the same data commit. A [Dead] row that its queue already has (same Source and MessageID) is dropped, and so is a [Held] row that
	// its queue already has as a dead or held one.
	Append(ctx context.Context, rows ...Row) error

	// Move changes the state of rows, or deletes them, and returns how many rows there were. A row that becomes ready gets a new id, and so a
	// place behind all rows that are there; a row that becomes dead or held keeps its id.
	Move(ctx context.Context, to State, ids ...int64) (int, error)

	// Note replaces the history of a row that is dead, held, or about to become so in this transaction. A row that is not there is no error.
	Note(ctx context.Context, id int64, history []byte) error

	// Claim marks id as seen in space. It reports true the first time; later it reports false and what Save kept. Two transactions that
	// claim one id at the same time: the second waits for the first, and sees it only if it was committed.
	Claim(ctx context.Context, space, id string) (first bool, saved []byte, err error)

	// Save keeps a value with an id that this transaction has claimed.
	Save(ctx context.Context, space, id string, value []byte) error
}

// State is where a row stands in its queue.
type State int

const (
	// Ready rows are taken by the queue's reader, when they are due.
	Ready State = iota
	// Dead rows wait for a person.
	Dead
	// Held rows wait behind a dead row of their topic and key, in the order of their ids. In the outbox only who owns their lane makes them or
	// takes them; in a subscription's queue who owns the key's partition appends them, and one replica of all takes them.
	Held
	// Gone rows are deleted: a state to move to, never one to find.
	Gone
)

// String is the state's name as the command line prints it.
func (s State) String() string {
	switch s {
	case Ready:
		return "ready"
	case Dead:
		return "dead"
	case Held:
		return "held"
	case Gone:
		return "gone"
	}
	return "unknown"
}

// Row is a record that is kept.
type Row struct {
	Record broker.Record
	// ID is given by the store. Ids grow in the order of commits for rows of one key.
	ID int64
	// Queue is "" for the outbox, or the group of the subscription that the row is for.
	Queue string
	State State
	// Due makes a ready row wait. The zero time is now.
	Due time.Time
	// Source and MessageID are the message's identity: unique among the dead rows of a queue.
	Source, MessageID string
	// History is what happened to a dead or held row, as JSON.
	History []byte
	// Created is set by the store.
	Created time.Time
}

// Filter says which rows List reads. Zero fields don't filter.
type Filter struct {
	// Queues and States read only rows of these; nil is all. The outbox is the queue "".
	Queues []string
	States []State
	// Key reads only rows of that key.
	Key string
	// After reads only rows with a larger id.
	After int64
	// Limit is how many rows at most; 0 is all.
	Limit int
}
