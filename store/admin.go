package store

import (
	"context"
	"time"
)

// Admin is what tools ask of a store. Every adapter implements it beside [Store].
type Admin interface {
	// Status counts rows and names who owns lanes. It holds nobody up.
	Status(ctx context.Context) (Status, error)

	// Script is the SQL that Migrate runs on an empty database, for teams that run migrations themselves. Empty: there is none to run.
	Script() string
}

// Status is what a store holds.
type Status struct {
	// Version is what the database was migrated to, 0 if it never was; Latest is the newest version that this program knows.
	Version, Latest int
	// LastID is the id that was given last: two readings tell how many rows were appended in between.
	LastID int64
	// Queues are those that hold rows, by name; the outbox is "".
	Queues []QueueStatus
	// Lanes are those that have an owner, as far as the store knows.
	Lanes []LaneStatus
}

// QueueStatus counts the rows of a queue.
type QueueStatus struct {
	Queue string
	// Ready rows are due. Scheduled ones are not yet.
	Ready, Scheduled, Dead, Held int64
	// Oldest is when the oldest ready row was appended. Zero: there is none.
	Oldest time.Time
}

// LaneStatus says who owns a lane.
type LaneStatus struct {
	Queue string
	// Lane is the number that the lane's deliveries have as their partition.
	Lane int
	// Owner names the process, as well as the store can.
	Owner string
	// Epoch counts the lane's owners, and Until is when the lease ends; both are zero where ownership is not a lease.
	Epoch int64
	Until time.Time
}
