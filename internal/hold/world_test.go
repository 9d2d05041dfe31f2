package hold_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings/broker"
	memorybroker "github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/internal/consume"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/memory"
)

const group, topic = "shop.mailer", "orders"

var (
	errKilled = errors.New("the process was killed")
	errNo     = errors.New("no")
)

// world is a subscription with its replicas, a broker, a store and people, in virtual time, and the books about what was handled.
type world struct {
	t      testing.TB
	broker *memorybroker.Broker
	store  *memory.Store
	batch  bool
	// forgets makes new replicas ignore what is held, and careless ones hold nothing at all: both are for controls.
	forgets, careless bool
	// fail says whether the attempt of a message fails; nil never.
	fail func(key string, n int) error
	work func() time.Duration
	// fault says whether a transaction fails, or a settlement.
	fault func() error
	// hook is called before a replica lists rows.
	hook func(f store.Filter)

	mu       sync.Mutex
	issued   map[string]int
	done     map[string]bool // handled or discarded, by "key/n"
	handled  []string
	broken   []string
	replicas []*replica
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{
		t: tb, store: memory.New(), work: func() time.Duration { return 0 }, fault: func() error { return nil },
		hook:   func(store.Filter) {},
		issued: map[string]int{}, done: map[string]bool{},
	}
	w.broker = memorybroker.New(memorybroker.Config{Fault: func(op, _ string) error {
		if op == "settle" {
			return w.fault()
		}
		return nil
	}})
	if _, err := w.broker.Topics(tb.Context(), broker.Apply, broker.Topic{Name: topic, Partitions: 3}); err != nil {
		tb.Fatal(err)
	}
	return w
}

// publish publishes the next message of each key.
func (w *world) publish(keys ...string) {
	for _, key := range keys {
		w.mu.Lock()
		w.issued[key]++
		value := key + "/" + strconv.Itoa(w.issued[key])
		w.mu.Unlock()
		w.broker.Publish(context.Background(), []broker.Record{{Topic: topic, Key: key, ID: value, Value: []byte(value)}}, func(_ int, _ broker.Receipt, err error) {
			if err != nil {
				w.t.Error(err)
			}
		})
	}
}

// handle is the handler. When it begins, everything before the message has to be handled, or discarded by somebody.
func (w *world) handle(ctx context.Context, d *broker.Delivery) error {
	value := string(d.Value)
	key, number, _ := strings.Cut(value, "/")
	n, _ := strconv.Atoi(number)
	w.begin(key, n)
	if d := w.work(); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if w.fail != nil {
		if err := w.fail(key, n); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[value] = true
	w.handled = append(w.handled, value)
	return nil
}

func (w *world) begin(key string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done[key+"/"+strconv.Itoa(n)] {
		return // Again, after a crash.
	}
	for before := 1; before < n; before++ {
		if value := key + "/" + strconv.Itoa(before); !w.done[value] {
			w.broken = append(w.broken, fmt.Sprintf("%s/%d was handled before %s", key, n, value))
			return
		}
	}
}

func (w *world) handleBatch(ctx context.Context, items []*consume.Item) error {
	for _, i := range items {
		if err := w.handle(ctx, i.Delivery); err != nil {
			i.Fail(err)
		} else {
			i.Ack()
		}
	}
	return nil
}

func (w *world) finish() {
	for _, r := range w.replicas {
		r.finish()
	}
	_ = w.broker.Close()
}

func (w *world) rows(states ...store.State) []store.Row {
	var rows []store.Row
	for r, err := range w.store.List(context.Background(), store.Filter{Queues: []string{group}, States: states}) {
		if err != nil {
			w.t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}

// values are the values of rows in a state.
func (w *world) values(state store.State) string {
	values := []string{}
	for _, r := range w.rows(state) {
		values = append(values, string(r.Record.Value))
	}
	return strings.Join(values, " ")
}

// saw returns what was handled since the last call, in order.
func (w *world) saw() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	handled := strings.Join(w.handled, " ")
	w.handled = nil
	return handled
}

// retry and discard are what people do.
func (w *world) retry(rows ...store.Row) {
	if err := admin.Retry(context.Background(), w.store, rows); err != nil {
		w.t.Errorf("retry: %v", err)
	}
}

func (w *world) discard(rows ...store.Row) {
	w.mu.Lock()
	for _, r := range rows {
		w.done[string(r.Record.Value)] = true
	}
	w.mu.Unlock()
	if err := admin.Discard(context.Background(), w.store, rows, "a test"); err != nil {
		w.t.Errorf("discard: %v", err)
	}
}

// elapse waits, in virtual time.
func elapse(d time.Duration) { <-time.After(d) }

// pass lets time go by until nothing can go on.
func pass(d time.Duration) {
	elapse(d)
	synctest.Wait()
}

// failing makes certain messages fail, until they are mended.
type failing struct {
	mu  sync.Mutex
	bad map[string]error
}

func (f *failing) fail(key string, n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bad[key+"/"+strconv.Itoa(n)]
}

func (f *failing) set(value string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bad == nil {
		f.bad = map[string]error{}
	}
	f.bad[value] = err
}

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }
