package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/internal/program"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/store"

	"github.com/google/uuid"
)

// summary tells what became of all customers and products. It is worked out by reading the three databases and the broker back: the rows of customers and products are the truth, and
// what clients were told, what is on the topics and what the reader has done are compared with it.
type summary struct {
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	Again    int `json:"sent_again"`
	program.Speed

	Customers int `json:"customers"`
	Products  int `json:"products"`
	// Events is how many different messages the topics have, and Views how many of them are views.
	Events int64 `json:"events"`
	Views  int64 `json:"views"`
	// Steps is what the reader has taken.
	Steps int64 `json:"steps"`

	// Lost counts what should be there and is not: rows that a client was told of, events on the topics, steps and views in the reader.
	Lost int64 `json:"lost"`
	// Duplicate counts effects that there are twice, or that nothing has led to.
	Duplicate int64 `json:"duplicate"`
	// OutOfOrder counts events and steps that came after a later one of their customer or product.
	OutOfOrder int64 `json:"out_of_order"`
	// DeadLetters is how many messages were given up, and OutboxLeft how many were not sent.
	DeadLetters int64 `json:"dead_letters"`
	OutboxLeft  int64 `json:"outbox_left"`
}

// Fine reports whether nothing is wrong.
func (s *summary) Fine() bool {
	return s.Failed == 0 && s.Lost == 0 && s.Duplicate == 0 && s.OutOfOrder == 0 && s.DeadLetters == 0 && s.OutboxLeft == 0
}

// String is the summary as text.
func (s *summary) String() string {
	return fmt.Sprintf(`requests        %d (%d failed, %d sent again) in %v
customers       %d
products        %d
events          %d, %d of them views
reader's steps  %d
lost            %d
duplicate       %d
out_of_order    %d
dead letters    %d
left in outbox  %d
`, s.Requests, s.Failed, s.Again, s.Speed, s.Customers, s.Products, s.Events, s.Views, s.Steps,
		s.Lost, s.Duplicate, s.OutOfOrder, s.DeadLetters, s.OutboxLeft)
}

// reportAtRest waits until everything has come to rest, and reports.
func (s *shop) reportAtRest(ctx context.Context, l *load) (summary, error) {
	if err := program.Rest(ctx, []*tidings.App{s.service(readers).app}, s.stores()...); err != nil {
		return summary{}, err
	}
	r, err := s.report(ctx, l)
	l.fill(&r)
	return r, err
}

// report reads everything back. Before the shop has come to rest, what is under way is counted as lost.
func (s *shop) report(ctx context.Context, l *load) (summary, error) {
	var r summary
	truth := map[uuid.UUID]int64{} // revisions
	customersDB, productsDB, readerDB := s.service(customers).DB, s.service(products).DB, s.service(readers).DB
	note := func(id uuid.UUID, revision int64) { truth[id] = revision }
	err := pairs(ctx, customersDB, `SELECT id, revision FROM customers`, note)
	r.Customers = len(truth)
	if err == nil {
		err = pairs(ctx, productsDB, `SELECT id, revision FROM products`, note)
	}
	r.Products = len(truth) - r.Customers

	wire, steps, counted := newTally(), newTally(), map[uuid.UUID]int64{}
	if err == nil {
		err = program.ReadTopics(ctx, s.broker, []string{s.Prefix + customer.Topic, s.Prefix + product.Topic}, wire.message)
	}
	if err == nil {
		err = pairs(ctx, readerDB, `SELECT id, revision FROM steps ORDER BY id, step`, func(id uuid.UUID, revision int64) {
			r.Steps++
			steps.see(id, revision)
		})
	}
	if err == nil {
		err = pairs(ctx, readerDB, `SELECT product_id, count FROM views`, func(id uuid.UUID, n int64) { counted[id] = n })
	}
	if err == nil {
		r.OutboxLeft, r.DeadLetters, err = program.Waiting(ctx, s.stores()...)
	}
	r.Events = wire.messages
	for _, t := range []*tally{wire, steps} {
		t.compare(truth)
		r.Lost, r.Duplicate, r.OutOfOrder = r.Lost+t.lost, r.Duplicate+t.duplicate, r.OutOfOrder+t.outOfOrder
	}
	for _, n := range wire.views {
		r.Views += n
	}
	lost, duplicate := differ(wire.views, counted)
	r.Lost, r.Duplicate = r.Lost+lost, r.Duplicate+duplicate
	lost, duplicate = l.compare(truth, wire.views)
	r.Lost, r.Duplicate = r.Lost+lost, r.Duplicate+duplicate
	return r, err
}

// pairs reads rows of an id and a number.
func pairs(ctx context.Context, db *sql.DB, query string, each func(id uuid.UUID, n int64)) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("report: %s: %w", query, err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		var id uuid.UUID
		var n int64
		if err = rows.Scan(&id, &n); err != nil {
			return fmt.Errorf("report: %s: %w", query, err)
		}
		each(id, n)
	}
	if err = rows.Err(); err != nil {
		return fmt.Errorf("report: %s: %w", query, err)
	}
	return nil
}

// stores are those of all services.
func (s *shop) stores() []store.Admin {
	list := make([]store.Admin, len(s.services))
	for i, have := range s.services {
		list[i] = have.Store
	}
	return list
}
