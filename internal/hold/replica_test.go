package hold_test

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-go/tidings/broker"
	memorybroker "github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/internal/consume"
	"github.com/tidings-go/tidings/internal/hold"
	"github.com/tidings-go/tidings/store"
)

// replica is a process of the service.
type replica struct {
	*mortal
	client *memorybroker.Broker
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

// mortal is the store as a process sees it: when the process is killed nothing that it does has any effect.
type mortal struct {
	store.Store
	dead  atomic.Bool
	fault func() error
	slow  func() time.Duration
	hook  func(f store.Filter) // called before rows are listed
}

// List takes its time, so that others do something in between.
func (m *mortal) List(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		linger := func() {
			if d := m.slow(); d > 0 {
				elapse(d)
			}
		}
		linger()
		m.hook(f)
		for row, err := range m.Store.List(ctx, f) {
			if !yield(row, err) {
				break
			}
		}
		linger()
	}
}

func (m *mortal) InTx(ctx context.Context, fn func(context.Context, store.Native) error) error {
	return m.Store.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		if m.dead.Load() {
			return errKilled
		}
		return m.fault()
	})
}

func (m *mortal) Lanes(ctx context.Context, queue string, each func(context.Context, broker.Partition)) error {
	return m.Store.Lanes(ctx, queue, func(ctx context.Context, p broker.Partition) { each(ctx, &mortalLane{p, m}) })
}

type mortalLane struct {
	broker.Partition
	m *mortal
}

func (l *mortalLane) Settle(ctx context.Context, s broker.Settlement) error {
	if l.m.dead.Load() {
		return errKilled
	}
	if err := l.m.fault(); err != nil {
		return err
	}
	return l.Partition.Settle(ctx, s)
}

// forgetful is a holder that doesn't learn what is held.
type forgetful struct{ consume.Holder }

func (forgetful) Learn(context.Context) error { return nil }

func (w *world) start() *replica {
	r := &replica{mortal: &mortal{Store: w.store, fault: w.fault, slow: w.work, hook: func(f store.Filter) { w.hook(f) }}, client: w.broker.Connect()}
	reaction := &consume.Reaction{Name: "mail", Handle: w.handle}
	if w.batch {
		reaction = &consume.Reaction{Name: "mail", Batch: &consume.Batch{Size: 5, Wait: 5 * time.Millisecond, Handle: w.handleBatch}}
	}
	quiet := slog.New(slog.DiscardHandler)
	c := consume.New(consume.Config{
		Group: group, Concurrency: 4, Log: quiet, Stop: time.Second,
		Retry: consume.Retry{Attempts: 2, Min: time.Millisecond, Max: 4 * time.Millisecond},
		Route: func(*broker.Delivery) *consume.Reaction { return reaction },
		DeadLetter: func(ctx context.Context, dead *consume.Dead) error {
			row := rowOf(dead.Delivery)
			row.State = store.Dead
			return r.InTx(ctx, func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, row) })
		},
	})
	keys := hold.New(hold.Config{Group: group, Store: r, Row: rowOf, Log: quiet})
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	run := func(h consume.Holder, source consume.Source) {
		if w.careless {
			h = nil
		} else if w.forgets {
			h = forgetful{h}
		}
		r.ended.Go(func() {
			if err := c.RunHolding(ctx, h, source); err != nil && !r.dead.Load() {
				w.t.Errorf("run: %v", err)
			}
		})
	}
	run(keys.Arriving(), func(ctx context.Context, each func(context.Context, broker.Partition)) error {
		return r.client.Consume(ctx, broker.Reader{Group: group, Topics: []string{topic}}, each)
	})
	run(keys.Retried(), func(ctx context.Context, each func(context.Context, broker.Partition)) error {
		return r.Lanes(ctx, group, each)
	})
	run(keys.Released(), keys.Lanes)
	w.replicas = append(w.replicas, r)
	return r
}

func rowOf(d *broker.Delivery) store.Row {
	return store.Row{Record: d.Record, Queue: group, Source: "/shop", MessageID: string(d.Value)}
}

// kill ends a replica as SIGKILL does.
func (r *replica) kill() {
	r.dead.Store(true)
	r.stop()
	_ = r.client.Close()
	r.ended.Wait()
}

func (r *replica) finish() {
	r.stop()
	r.ended.Wait()
	_ = r.client.Close()
}
