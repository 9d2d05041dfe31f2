package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
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

// waiting is what is in the store: rows of the outbox, and dead letters.
func (r *reader) waiting() (outbox, dead int64) {
	if r.err != nil {
		return 0, 0
	}
	status, err := r.Store.Status(r.ctx)
	for _, q := range status.Queues {
		dead += q.Dead
		if q.Queue == "" {
			outbox += q.Ready + q.Scheduled + q.Held
		}
	}
	r.err = err
	return outbox, dead
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
	var mu sync.Mutex
	seen := map[string]fact{}
	err := r.Broker.Consume(r.ctx, broker.Reader{Topics: topics, ToEnd: true}, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, end := p.Fetch(ctx, 1000, 4<<20)
			mu.Lock()
			for i := range deliveries {
				id, _ := deliveries[i].Header("ce-id")
				f, err := factOf(&deliveries[i].Record)
				seen[f.event+" "+id] = f
				r.err = errors.Join(r.err, err)
			}
			if end != nil && !errors.Is(end, io.EOF) {
				r.err = end
			}
			mu.Unlock()
			if end != nil {
				return
			}
		}
	})
	r.err = errors.Join(r.err, err, r.ctx.Err())
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

// rest waits until nothing is left to handle or to send, in this process and in others.
func (s *system) rest(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	idle := 0
	for idle < 2 { // a message may be on its way from the outbox to the topic
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for rest: %w", context.Cause(ctx))
		}
		left, err := s.unfinished(ctx)
		if err != nil {
			return err
		}
		if idle++; left > 0 {
			idle = 0
		}
	}
	return nil
}

// unfinished is how many rows wait in the outbox, and how many messages subscriptions have not finished.
func (s *system) unfinished(ctx context.Context) (uint64, error) {
	r := reader{ctx: ctx, system: s}
	outbox, _ := r.waiting()
	left := uint64(outbox)
	for _, app := range []*tidings.App{s.cashiers, s.notifications} {
		states, err := app.Topics(ctx)
		for i := range states {
			for _, lag := range states[i].Lag {
				left += lag
			}
		}
		r.err = errors.Join(r.err, err)
	}
	return left, r.err
}
