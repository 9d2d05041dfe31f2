package tidingstest

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/store"
)

// FailNext makes the next n operations of the app fail, each of them a publication to the broker or a transaction right before its commit. Messages whose handling fails for that
// are retried as usual.
func (k *Kit) FailNext(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failures = n
}

// Crash kills the app where it stands, and starts it again on what broker and store have kept. Nothing is drained; handlers that run see their contexts end, and what they do
// to broker and store from then on fails.
func (k *Kit) Crash() {
	k.t.Helper()
	k.settle()
	k.life.kill()
	k.restart()
}

// CrashAt kills the app at its n-th step from now on, and Quiet starts it again. Steps are all that others can see of it: before and after each publication, before
// and after each commit, and before each acknowledgement.
func (k *Kit) CrashAt(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.crashAt = k.steps + n
}

// Crashed reports whether the app has come to the step at which CrashAt kills it.
func (k *Kit) Crashed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.crashed
}

// EveryCrash calls scenario once for every step, each time in a bubble of its own, until the app has no more steps. The scenario makes a kit, calls CrashAt with the step, does
// and checks what it has to, and returns the kit:
//
//	tidingstest.EveryCrash(t, func(t *testing.T, step int) *tidingstest.Kit {
//		k := tidingstest.New(t, cfg, register)
//		k.CrashAt(step)
//		k.Deliver(paid.New(…))
//		if got := tidingstest.Published(k, shipped); len(got) != 1 {
//			t.Errorf("shipped %v", got)
//		}
//		return k
//	})
func EveryCrash(t *testing.T, scenario func(t *testing.T, step int) *Kit) {
	t.Helper()
	for step, died := 1, true; died; step++ {
		synctest.Test(t, func(t *testing.T) { died = scenario(t, step).Crashed() })
		if t.Failed() {
			t.Fatalf("tidingstest: with a crash at step %d", step)
		}
		if step == maxSteps {
			t.Fatalf("tidingstest: the scenario has more than %d steps: does it return the kit on which it called CrashAt?", maxSteps)
		}
	}
}

// restart buries a life and begins another.
func (k *Kit) restart() {
	k.t.Helper()
	_ = k.life.end() // what a dead app says is of no interest
	k.start()
}

// life is the app's broker from one start to the next crash.
type life struct {
	kit    *Kit
	broker *memory.Broker
	cancel context.CancelFunc
	ended  chan error
	dead   bool // kit.mu guards it
}

var (
	_ broker.Broker = (*life)(nil)
	_ store.Store   = (*lifeStore)(nil)
)

// end waits until Run has returned.
func (l *life) end() error {
	l.cancel()
	if l.isDead() {
		_ = l.broker.Close() // it always succeeds
	}
	err := <-l.ended
	_ = l.broker.Close() // it always succeeds
	return err
}

func (l *life) kill() {
	l.kit.mu.Lock()
	defer l.kit.mu.Unlock()
	l.dead = true
}

func (l *life) isDead() bool {
	l.kit.mu.Lock()
	defer l.kit.mu.Unlock()
	return l.dead
}

// step is a moment at which the app may die.
func (l *life) step() error {
	k := l.kit
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.dead {
		return errCrashed
	}
	k.steps++
	if k.steps == k.crashAt {
		l.dead, k.crashed = true, true
	}
	if k.steps >= k.limit {
		l.dead = true
	}
	if l.dead {
		return errCrashed
	}
	return nil
}

// fails says whether an operation is to fail.
func (l *life) fails() error {
	l.kit.mu.Lock()
	defer l.kit.mu.Unlock()
	if l.kit.failures == 0 {
		return nil
	}
	l.kit.failures--
	return errFailed
}

// Publish implements [broker.Broker].
func (l *life) Publish(ctx context.Context, records []broker.Record, done func(i int, r broker.Receipt, err error)) {
	receipts, errs := make([]broker.Receipt, len(records)), make([]error, len(records))
	err := l.step()
	if err == nil {
		err = l.fails()
	}
	if err == nil {
		// The memory broker has stored everything when Publish returns.
		l.broker.Publish(ctx, records, func(i int, r broker.Receipt, err error) { receipts[i], errs[i] = r, err })
		l.note(records, errs)
		err = l.step()
	}
	for i := range records {
		if err != nil {
			done(i, broker.Receipt{}, err)
			continue
		}
		done(i, receipts[i], errs[i])
	}
}

// identity is by what a message is known that is published again.
type identity struct{ topic, id string }

// note keeps what was published, each message once.
func (l *life) note(records []broker.Record, errs []error) {
	k := l.kit
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, r := range records {
		id := identity{r.Topic, r.ID}
		if errs[i] != nil || r.ID != "" && k.known[id] {
			continue
		}
		k.known[id] = true
		r.Headers, r.Value = slices.Clone(r.Headers), bytes.Clone(r.Value)
		k.published = append(k.published, r)
	}
}

// Live implements [broker.Broker].
func (l *life) Live(ctx context.Context, records []broker.Record) error {
	if err := l.step(); err != nil {
		return err
	}
	if err := l.broker.Live(ctx, records); err != nil {
		return err
	}
	l.note(records, make([]error, len(records)))
	return l.step()
}

// Consume implements [broker.Broker].
func (l *life) Consume(ctx context.Context, r broker.Reader, each func(ctx context.Context, p broker.Partition)) error {
	return l.broker.Consume(ctx, r, func(ctx context.Context, p broker.Partition) { each(ctx, &partition{p, l}) })
}

// Listen implements [broker.Broker].
func (l *life) Listen(ctx context.Context, listener broker.Listener, each func(broker.Record)) error {
	return l.broker.Listen(ctx, listener, func(r broker.Record) {
		if !l.isDead() {
			each(r)
		}
	})
}

// Topics implements [broker.Broker].
func (l *life) Topics(ctx context.Context, op broker.Op, want ...broker.Topic) ([]broker.TopicState, error) {
	return l.broker.Topics(ctx, op, want...)
}

// partition is one that dies with the app.
type partition struct {
	broker.Partition
	life *life
}

// Fetch implements [broker.Partition]. The dead get nothing.
func (p *partition) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	if p.life.isDead() {
		return p.Partition.Fetch(ctx, 0, 0)
	}
	return p.Partition.Fetch(ctx, limit, maxBytes)
}

// Settle implements [broker.Partition].
func (p *partition) Settle(ctx context.Context, s broker.Settlement) error {
	if err := p.life.step(); err != nil {
		return err
	}
	return p.Partition.Settle(ctx, s)
}

// lifeStore is the app's store from one start to the next crash.
type lifeStore struct {
	store.Store
	life *life
}

// InTx implements [store.Store].
func (s *lifeStore) InTx(ctx context.Context, fn func(ctx context.Context, tx store.Native) error) error {
	if s.life.isDead() {
		return errCrashed
	}
	err := s.Store.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		err := fn(ctx, tx)
		if err == nil {
			err = s.life.step()
		}
		if err == nil {
			err = s.life.fails()
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.life.step()
}

// Lanes implements [store.Store].
func (s *lifeStore) Lanes(ctx context.Context, queue string, each func(ctx context.Context, lane broker.Partition)) error {
	return s.Store.Lanes(ctx, queue, func(ctx context.Context, lane broker.Partition) { each(ctx, &partition{lane, s.life}) })
}
