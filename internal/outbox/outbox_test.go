package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/outbox"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func row(key, value string) store.Row {
	return store.Row{Record: broker.Record{Topic: "orders", Key: key, Value: []byte(value)}, Source: "/test", MessageID: value}
}

func poison(value string) store.Row {
	r := row("k", value)
	r.Record.Topic = poisonTopic
	return r
}

func add(tb testing.TB, s store.Store, rows ...store.Row) {
	tb.Helper()
	err := s.InTx(context.Background(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, rows...) })
	if err != nil {
		tb.Fatal(err)
	}
}

func count(s store.Store, states ...store.State) (n int) {
	for range s.List(context.Background(), store.Filter{States: states}) {
		n++
	}
	return n
}

// start runs a relay and returns what stops it and waits for its end.
func start(tb testing.TB, s store.Store, b broker.Broker, cfg outbox.Config) (stop func()) {
	tb.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- outbox.Run(ctx, s, b, cfg) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run: %v", err)
		}
	}
}

func published(b *fakeBroker) (values []string) {
	for _, r := range b.records() {
		values = append(values, string(r.Value))
	}
	return values
}

func TestRowsArePublishedAtOnceAndDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := memory.New(), newFake(1)
		var stats outbox.Stats
		stop := start(t, s, b, outbox.Config{Stats: &stats})
		for i := range 3 {
			before := time.Now()
			add(t, s, row("k", fmt.Sprint(i)))
			synctest.Wait()
			if b.asked[i] != before {
				t.Errorf("an idle relay published after %v", b.asked[i].Sub(before))
			}
			time.Sleep(time.Second) //nolint:forbidigo // virtual time
			if n := count(s); n != 0 {
				t.Errorf("%d rows are left", n)
			}
		}
		stop()
		if got := published(b); !slices.Equal(got, []string{"0", "1", "2"}) || stats.Published.Load() != 3 {
			t.Errorf("published %q, counted %d", got, stats.Published.Load())
		}
	})
}

func TestRowsGatherWhileACallIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := memory.New(), newFake(1)
		b.delay = func() time.Duration { return 10 * time.Millisecond }
		stop := start(t, s, b, outbox.Config{})
		for i := range 100 {
			add(t, s, row("k", fmt.Sprint(i)))
			time.Sleep(time.Millisecond) //nolint:forbidigo // virtual time
		}
		time.Sleep(time.Second) //nolint:forbidigo // virtual time
		stop()
		if b.calls > 12 || b.most != 1 || len(b.log) != 100 {
			t.Errorf("100 rows in 100 ms became %d calls of Publish, %d of them at once; want about 10, one at a time", b.calls, b.most)
		}
	})
}

func TestDeletionsGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settles := 0
		s := &spyStore{Store: memory.New(), settled: func(string) {}, settles: func() error { settles++; return nil }}
		stop := start(t, s, newFake(1), outbox.Config{Gather: 50 * time.Millisecond})
		for i := range 200 {
			add(t, s, row("k", fmt.Sprint(i)))
			time.Sleep(2 * time.Millisecond) //nolint:forbidigo // virtual time
		}
		stop()
		if settles < 4 || settles > 12 || count(s) != 0 {
			t.Errorf("200 rows in 400 ms were deleted in %d transactions, %d are left", settles, count(s))
		}
	})
}

func TestABacklogIsBoundedInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := memory.New(), newFake(1)
		var rows []store.Row
		for i := range 500 {
			rows = append(rows, row("k", fmt.Sprint(i)))
		}
		add(t, s, rows...)
		b.delay = func() time.Duration { return time.Hour }
		fetched := 0
		spy := &countingStore{Store: s, fetched: &fetched}
		stop := start(t, spy, b, outbox.Config{Batch: 50, Stop: time.Second})
		time.Sleep(30 * time.Minute) //nolint:forbidigo // virtual time
		synctest.Wait()
		if fetched != 100 {
			t.Errorf("%d rows were fetched while the broker does not answer, want two batches", fetched)
		}
		before := time.Now()
		stop()
		if took := time.Since(before); took > 2*time.Second {
			t.Errorf("stopping took %v though Config.Stop is a second", took)
		}
		if n := count(s, store.Ready); n != 500 {
			t.Errorf("%d rows are left, want all: none was acknowledged", n)
		}
		time.Sleep(time.Hour) //nolint:forbidigo // virtual time: the late answers must do no harm
	})
}

// countingStore counts what lanes hand out.
type countingStore struct {
	store.Store
	fetched *int
}

func (s *countingStore) Lanes(ctx context.Context, queue string, each func(context.Context, broker.Partition)) error {
	return s.Store.Lanes(ctx, queue, func(ctx context.Context, p broker.Partition) { each(ctx, &countingLane{p, s.fetched}) })
}

type countingLane struct {
	broker.Partition
	fetched *int
}

func (l *countingLane) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	deliveries, err := l.Partition.Fetch(ctx, limit, maxBytes)
	*l.fetched += len(deliveries)
	return deliveries, err
}

func TestABrokerThatIsDownIsAskedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := memory.New(), newFake(1)
		b.fate = func() fate { return down }
		add(t, s, row("k", "1"), row("k", "2"))
		var stats outbox.Stats
		stop := start(t, s, b, outbox.Config{Stats: &stats})
		time.Sleep(time.Hour) //nolint:forbidigo // virtual time
		synctest.Wait()
		if b.calls < 3600/5 || b.calls > 3600/2 {
			t.Errorf("a broker that was down for an hour was asked %d times, want every 2.5 to 5 seconds", b.calls)
		}
		if second := b.asked[1].Sub(b.asked[0]); second > 200*time.Millisecond {
			t.Errorf("after the first failure the relay waited %v", second)
		}
		if int(stats.Failed.Load()) != 2*b.calls || count(s) != 2 {
			t.Errorf("%d failed in %d calls, %d rows are left", stats.Failed.Load(), b.calls, count(s))
		}
		b.mu.Lock()
		b.heal()
		b.mu.Unlock()
		time.Sleep(6 * time.Second) //nolint:forbidigo // virtual time
		stop()
		if got := published(b); !slices.Equal(got, []string{"1", "2"}) || count(s) != 0 {
			t.Errorf("after the broker came back %q were published, %d rows are left", got, count(s))
		}
	})
}

func TestStoppingWaitsForWhatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := memory.New(), newFake(1)
		b.delay = func() time.Duration { return 5 * time.Second }
		add(t, s, row("k", "1"))
		stop := start(t, s, b, outbox.Config{})
		synctest.Wait()
		stop()
		if got := published(b); !slices.Equal(got, []string{"1"}) || count(s) != 0 {
			t.Errorf("published %q, %d rows are left", got, count(s))
		}
	})
}

func TestStoppingDoesNotWaitForTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := memory.New(), newFake(1)
		b.fate = func() fate { return down }
		add(t, s, row("k", "1"))
		stop := start(t, s, b, outbox.Config{})
		time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		before := time.Now()
		stop()
		if took := time.Since(before); took > 10*time.Millisecond {
			t.Errorf("stopping took %v", took)
		}
	})
}

func TestPoisonIsParkedWithItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := memory.New(), newFake(1)
		var stats outbox.Stats
		add(t, s, row("k", "1"), poison("2"), row("k", "3"), poison("4"))
		stop := start(t, s, b, outbox.Config{Stats: &stats})
		time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		stop()
		if got := published(b); !slices.Equal(got, []string{"1", "3"}) || b.calls != 1 {
			t.Errorf("published %q in %d calls", got, b.calls)
		}
		var dead []string
		for r := range s.List(t.Context(), store.Filter{}) {
			dead = append(dead, string(r.Record.Value))
			if r.State != store.Dead || r.Queue != "" || !strings.Contains(string(r.History), broker.ErrTooLarge.Error()) || r.Source != "/test" {
				t.Errorf("what is left of poison is %+v with the history %s", r, r.History)
			}
		}
		if !slices.Equal(dead, []string{"2", "4"}) || stats.Parked.Load() != 2 || stats.Failed.Load() != 0 {
			t.Errorf("parked %q, counted %d parked and %d failed", dead, stats.Parked.Load(), stats.Failed.Load())
		}
	})
}

func TestLaterRowsOfAPoisonedKeyWaitUntilItIsResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := memory.New(), newFake(1)
		defer start(t, s, b, outbox.Config{})()
		values := func(state store.State) (values []string, ids []int64) {
			for r := range s.List(t.Context(), store.Filter{States: []store.State{state}}) {
				values, ids = append(values, string(r.Record.Value)), append(ids, r.ID)
			}
			return values, ids
		}
		move := func(to store.State, ids []int64) {
			err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
				_, err := tx.StoreTx().Move(ctx, to, ids...)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		}
		add(t, s, row("k", "1!"))
		time.Sleep(time.Second) //nolint:forbidigo // virtual time
		add(t, s, row("k", "2"), row("other", "free"), row("k", "3"), row("", "without key"))
		time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		add(t, s, row("k", "4!"), row("k", "5"))
		time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		if got, _ := values(store.Held); !slices.Equal(got, []string{"2", "3", "4!", "5"}) {
			t.Fatalf("held are %q", got)
		}
		if got := published(b); !slices.Equal(got, []string{"free", "without key"}) {
			t.Fatalf("published are %q", got)
		}
		_, dead := values(store.Dead)
		move(store.Gone, dead) // discarded
		if got := published(b); !slices.Equal(got[2:], []string{"2", "3"}) {
			t.Fatalf("published are %q", got)
		}
		b.mu.Lock()
		b.mended = true // What was poison isn't any more.
		b.mu.Unlock()
		_, dead = values(store.Dead)
		move(store.Held, dead) // released
		add(t, s, row("k", "6"))
		time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		if got := published(b); !slices.Equal(got[4:], []string{"4!", "5", "6"}) || count(s) != 0 {
			t.Fatalf("published are %q, %d rows are left", got, count(s))
		}
	})
}

func TestAStoreThatCannotDeleteIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := 3
		s := &spyStore{Store: memory.New(), settled: func(string) {}, settles: func() error {
			if failures--; failures >= 0 {
				return errors.New("disk full")
			}
			return nil
		}}
		b := newFake(1)
		add(t, s, row("k", "1"), row("k", "2"))
		stop := start(t, s, b, outbox.Config{})
		time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		stop()
		if n := count(s); n != 0 || b.calls != 4 {
			t.Errorf("%d rows are left after %d calls, want none after 4", n, b.calls)
		}
		if first, third := b.asked[1].Sub(b.asked[0]), b.asked[3].Sub(b.asked[2]); third < first*3/2 {
			t.Errorf("the relay waited %v and then %v, though the rows could not be deleted", first, third)
		}
	})
}

func TestWrongConfigIsRefused(t *testing.T) {
	for _, cfg := range []outbox.Config{{Batch: -1}, {Bytes: -1}, {Gather: -1}, {Stop: -1}} {
		if err := outbox.Run(t.Context(), memory.New(), newFake(1), cfg); err == nil {
			t.Errorf("Run took %+v", cfg)
		}
	}
}
