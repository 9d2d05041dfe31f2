package tidings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// Publisher is where messages go: [Direct], [Live], [Outbox], or a test's own. It publishes all of them or returns an error.
type Publisher interface {
	Publish(ctx context.Context, messages ...Message) error
}

// Receipt says where a message was stored.
type Receipt = broker.Receipt

// ErrTxDone says that an event was to be published in a transaction that is nil or has already ended.
var ErrTxDone = store.ErrTxDone

// Direct publishes to the broker and waits until the messages are stored there. Nothing ties it to a transaction: when the process
// dies between the business change and Publish, the event is never sent. Use [Outbox] where that matters.
type Direct struct{ m *Module }

// Publish sends messages and waits for the broker. An error means that at least one of them may not be stored; when ctx ended first, all
// may still be stored.
func (d *Direct) Publish(ctx context.Context, messages ...Message) error {
	_, err := d.Send(ctx, messages...)
	return err
}

// Send is Publish that also returns where each message was stored.
func (d *Direct) Send(ctx context.Context, messages ...Message) ([]Receipt, error) {
	records, err := d.m.records(ctx, messages, direct)
	if err != nil {
		return nil, err
	}
	if !d.m.app.provisioned.Load() {
		for i := range records {
			if err := d.m.app.ensureTopic(ctx, records[i].Topic); err != nil {
				return nil, err
			}
		}
	}
	return d.m.app.send(ctx, records)
}

// send publishes records and waits for all of them.
func (a *App) send(ctx context.Context, records []broker.Record) ([]Receipt, error) {
	if len(records) == 0 {
		return nil, nil
	}
	if a.cfg.Broker == nil {
		return nil, errNoBroker
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("tidings: publish to %s: nothing was sent: %w", records[0].Topic, err)
	}
	w := &waiter{receipts: make([]Receipt, len(records)), left: len(records), done: make(chan struct{})}
	a.cfg.Broker.Publish(ctx, records, w.finish)
	select {
	case <-w.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("tidings: publish to %s: outcome unknown: %w", records[0].Topic, ctx.Err())
	}
	if w.err != nil {
		return nil, fmt.Errorf("tidings: publish to %s: %w", records[w.failed].Topic, w.err)
	}
	return w.receipts, nil
}

var errNoBroker = errors.New("tidings: the app has no broker; set Config.Broker")

// waiter collects the outcomes of one Publish call.
type waiter struct {
	mu       sync.Mutex
	receipts []Receipt
	left     int
	failed   int
	err      error
	done     chan struct{}
}

func (w *waiter) finish(i int, r Receipt, err error) {
	w.mu.Lock()
	w.receipts[i] = r
	if err != nil && w.err == nil {
		w.err, w.failed = err, i
	}
	w.left--
	last := w.left == 0
	w.mu.Unlock()
	if last {
		close(w.done)
	}
}

// Live sends messages to whoever listens now, in about a millisecond or less, and forgets them: no storage, no acknowledgement.
type Live struct{ m *Module }

// Publish sends messages to the present listeners. Subscriptions never see them.
func (l *Live) Publish(ctx context.Context, messages ...Message) error {
	if l.m.app.cfg.Broker == nil {
		return errNoBroker
	}
	records, err := l.m.records(ctx, messages, live)
	if err != nil {
		return err
	}
	if err := l.m.app.cfg.Broker.Live(ctx, records); err != nil {
		return fmt.Errorf("tidings: publish live: %w", err)
	}
	return nil
}

// Outbox publishes in a transaction: the messages are rows of the same database, written right before the commit, and go to the broker
// after it. A rollback sends nothing. It is good for one transaction.
type Outbox struct {
	m      *Module
	native store.Native
}

// Publish adds messages to the transaction.
func (o *Outbox) Publish(ctx context.Context, messages ...Message) error {
	tx, err := o.m.app.storeTx(o.native)
	if err != nil {
		return err
	}
	records, err := o.m.records(ctx, messages, inOutbox)
	if err != nil {
		return err
	}
	rows := make([]store.Row, len(records))
	for i := range records {
		m := &messages[i]
		rows[i] = store.Row{Record: records[i], Due: m.NotBefore, Source: cmp.Or(m.Source, o.m.app.source), MessageID: m.rowID()}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := tx.Append(ctx, rows...); err != nil {
		return fmt.Errorf("tidings: publish %s in the transaction: %w", messages[0].Type, err)
	}
	return nil
}

// storeTx is tidings' part of a transaction that belongs to this app's store.
func (a *App) storeTx(native store.Native) (store.Tx, error) {
	if a.cfg.Store == nil {
		return nil, errors.New("tidings: publish in a transaction: the app has no store; set Config.Store")
	}
	if native == nil {
		return nil, fmt.Errorf("tidings: publish in a transaction: %w", ErrTxDone)
	}
	if got, want := reflect.TypeOf(native), reflect.TypeOf(a.cfg.Store.Native()); got != want {
		return nil, fmt.Errorf("tidings: publish in a transaction: a %s is not of this app's store, whose transactions are %s", got, want)
	}
	tx := native.StoreTx()
	if tx == nil {
		return nil, fmt.Errorf("tidings: publish in a transaction: %w", ErrTxDone)
	}
	return tx, nil
}

// inTx runs fn in a transaction, on behalf of who. When none can be begun, that says nothing about what was to be done in it.
func (a *App) inTx(ctx context.Context, who string, fn func(ctx context.Context, tx store.Native) error) error {
	if a.cfg.Store == nil {
		return errNoStore
	}
	began := false
	err := a.cfg.Store.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		began = true
		return fn(ctx, tx)
	})
	if err != nil && !began {
		return Unavailable(fmt.Errorf("tidings: the store of %s: %w: %w", who, CodeUnavailable, err))
	}
	return err
}

// InTx runs fn in one transaction of the app's store: commit when it returns nil, rollback when it returns an error or panics. X is the
// store's native transaction: *sqlite.Tx, *postgres.Tx, or *store.SQLTx.
func InTx[X store.Native](ctx context.Context, h Host, fn func(ctx context.Context, tx X) error) error {
	s := h.host().app.cfg.Store
	if s == nil {
		return errors.New("tidings: begin a transaction: the app has no store; set Config.Store")
	}
	return s.InTx(ctx, func(ctx context.Context, native store.Native) error {
		tx, ok := native.(X)
		if !ok {
			return fmt.Errorf("tidings: begin a transaction: the store's transactions are %T, not %s", native, reflect.TypeFor[X]())
		}
		return fn(ctx, tx)
	})
}
