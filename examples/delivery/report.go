package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/examples/internal/program"
)

// summary tells what became of all orders. All but the first group is worked out by reading database and broker back: the rows of package order are the truth, with which
// the rest is compared.
type summary struct {
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	program.Speed

	Orders   int64 `json:"orders"`
	Payments int64 `json:"payments"`
	Steps    int64 `json:"steps"`
	Entries  int64 `json:"audit_entries"`
	Events   int64 `json:"events"`
	// Again is how often the audit got an order that it had entered. That is allowed, and happens after a crash.
	Again int64 `json:"audited_again"`

	// Lost counts what should be there and is not: events on the topic, steps in the tracking, entries of the audit, orders of payments.
	Lost int64 `json:"lost"`
	// Doubled counts steps that were taken twice, and steps and events that no order has made.
	Doubled int64 `json:"doubled_effects"`
	// OutOfOrder counts steps that were taken after a later one of their order.
	OutOfOrder int64 `json:"out_of_order"`
	// DeadLetters is how many messages were given up, and OutboxLeft how many were not sent.
	DeadLetters int64 `json:"dead_letters"`
	OutboxLeft  int64 `json:"outbox_left"`
}

// Fine reports whether nothing is wrong.
func (s *summary) Fine() bool {
	return s.Failed == 0 && s.Lost == 0 && s.Doubled == 0 && s.OutOfOrder == 0 && s.DeadLetters == 0 && s.OutboxLeft == 0
}

// String is the summary as text.
func (s *summary) String() string {
	return fmt.Sprintf(`requests         %d (%d failed) in %v
orders           %d, and %d payments
events           %d
tracking steps   %d
audit entries    %d (%d came again)
lost             %d
doubled effects  %d
out of order     %d
dead letters     %d
left in outbox   %d
`, s.Requests, s.Failed, s.Speed, s.Orders, s.Payments, s.Events, s.Steps, s.Entries, s.Again,
		s.Lost, s.Doubled, s.OutOfOrder, s.DeadLetters, s.OutboxLeft)
}

// report reads everything back. Ask when the system has come to rest; before, what is under way is counted as lost.
func (s *system) report(ctx context.Context) (summary, error) {
	c := counter{ctx: ctx, system: s}
	r := summary{
		Orders:   c.count(`SELECT count(*) FROM orders`),
		Payments: c.count(`SELECT count(*) FROM payments`),
		Steps:    c.count(`SELECT count(*) FROM tracking_steps`),
		Entries:  c.count(`SELECT count(*) FROM audit_entries`),
		Again:    c.count(`SELECT COALESCE(CAST(SUM(seen - 1) AS BIGINT), 0) FROM audit_entries`),
		OutOfOrder: c.count(`SELECT count(*) FROM tracking_steps AS s WHERE EXISTS (
			SELECT 1 FROM tracking_steps AS before WHERE before.order_id = s.order_id AND before.step < s.step AND before.revision > s.revision)`),
		Events: c.events(),
	}
	revisions := c.count(`SELECT COALESCE(CAST(SUM(revision) AS BIGINT), 0) FROM orders`)
	matched := c.count(`SELECT count(*) FROM (SELECT DISTINCT order_id, tracking_steps.revision
		FROM tracking_steps JOIN orders ON id = order_id WHERE tracking_steps.revision BETWEEN 1 AND orders.revision) AS matched`)
	expected := revisions + r.Orders // each order is told of in two versions
	r.Lost = revisions - matched + max(0, expected-r.Events)
	r.Doubled = r.Steps - matched + max(0, r.Events-expected)
	r.Lost += c.count(`SELECT count(*) FROM orders WHERE NOT EXISTS (
		SELECT 1 FROM audit_entries WHERE order_id = orders.id AND audit_entries.amount = orders.amount)`)
	r.Lost += c.count(`SELECT count(*) FROM payments WHERE NOT EXISTS (
		SELECT 1 FROM orders WHERE orders.id = order_id AND orders.amount = payments.amount)`)
	if c.err == nil {
		r.OutboxLeft, r.DeadLetters, c.err = program.Waiting(ctx, s.Store)
	}
	return r, c.err
}

// counter counts. After the first error it does nothing more.
type counter struct {
	*system
	ctx context.Context //nolint:containedctx // it lives for one report
	err error
}

func (c *counter) count(query string) (n int64) {
	if c.err == nil {
		c.err = c.DB.QueryRowContext(c.ctx, query).Scan(&n)
	}
	return n
}

// events counts the different messages on the topic of orders.
func (c *counter) events() int64 {
	topic, err := c.topic()
	if err != nil || c.err != nil {
		c.err = errors.Join(c.err, err)
		return 0
	}
	seen := map[[2]string]bool{}
	c.err = program.ReadTopics(c.ctx, c.Broker, []string{topic}, func(d *broker.Delivery) error {
		id, _ := d.Header("ce-id")
		typ, _ := d.Header("ce-type")
		seen[[2]string{id, typ}] = true
		return nil
	})
	return int64(len(seen))
}

// topic is where the public events of orders are.
func (s *system) topic() (string, error) {
	d := order.OrderCreatedV2.Definition()
	e, ok := s.app.Catalog().Event(d.Domain, d.Name, d.Version)
	if !ok {
		return "", fmt.Errorf("the app has no event %s", d.Type())
	}
	return e.PublishTopic, nil
}
