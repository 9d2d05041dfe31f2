package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/examples/internal/program"
)

// reader reads. After the first error it does nothing more.
type reader struct {
	*system
	ctx context.Context //nolint:containedctx // it lives for one report
	err error
}

func (r *reader) count(query string) (n int64) {
	if r.err == nil {
		r.err = r.DB.QueryRowContext(r.ctx, query).Scan(&n)
	}
	return n
}

func (r *reader) facts(query string) (list []fact) {
	if r.err != nil {
		return nil
	}
	rows, err := r.DB.QueryContext(r.ctx, query)
	if err != nil {
		r.err = err
		return nil
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() && err == nil {
		var f fact
		err = rows.Scan(&f.event, &f.tenant, &f.about)
		list = append(list, f)
	}
	r.err = errors.Join(err, rows.Err())
	return list
}

// events are the different messages on all topics: one that was sent twice has the same id.
func (r *reader) events() []fact {
	var topics []string
	for _, e := range r.cashiers.Catalog().All() {
		topics = append(topics, e.PublishTopic)
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	if r.err != nil {
		return nil
	}
	seen := map[string]fact{}
	r.err = program.ReadTopics(r.ctx, r.Broker, topics, func(d *broker.Delivery) error {
		id, _ := d.Header("ce-id")
		f, err := factOf(&d.Record)
		seen[f.event+" "+id] = f
		return err
	})
	list := make([]fact, 0, len(seen))
	for _, f := range seen {
		list = append(list, f)
	}
	return list
}

func factOf(record *broker.Record) (fact, error) {
	var payload struct {
		TenantID string `json:"tenant_id"`
	}
	err := json.Unmarshal(record.Value, &payload)
	f := fact{tenant: payload.TenantID}
	f.event, _ = record.Header("ce-type")
	f.about, _ = record.Header("ce-subject")
	return f, err
}
