package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/internal/lease"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// pause waits for d, and says whether ctx still lives. It makes no timer that is due at once: two goroutines of a bubble that do so at the same
// time crash the race detector (golang/go#78156).
func pause(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	return ctx.Err() == nil
}

var errCut = errors.New("cut off")

// cell is a register in memory.
type cell struct {
	mu      sync.Mutex
	value   []byte
	version uint64
}

// link is one member's way to a cell. It can be cut, slow, and can lose the answers of swaps that were done.
type link struct {
	cell *cell

	mu    sync.Mutex
	cut   bool
	deaf  bool
	delay time.Duration
}

func (l *link) set(cut, deaf bool, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.deaf, l.delay = cut, deaf, delay
}

func (l *link) travel(ctx context.Context) (deaf bool, err error) {
	l.mu.Lock()
	cut, deaf, delay := l.cut, l.deaf, l.delay
	l.mu.Unlock()
	if !pause(ctx, delay) {
		return deaf, ctx.Err()
	}
	if cut {
		return deaf, errCut
	}
	return deaf, nil
}

func (l *link) Load(ctx context.Context) ([]byte, uint64, error) {
	if _, err := l.travel(ctx); err != nil {
		return nil, 0, err
	}
	l.cell.mu.Lock()
	defer l.cell.mu.Unlock()
	return l.cell.value, l.cell.version, nil
}

func (l *link) Swap(ctx context.Context, value []byte, version uint64) (uint64, error) {
	deaf, err := l.travel(ctx)
	if err != nil {
		return 0, err
	}
	l.cell.mu.Lock()
	defer l.cell.mu.Unlock()
	if version != l.cell.version {
		return 0, fmt.Errorf("swap at %d: %w", version, lease.ErrConflict)
	}
	l.cell.value, l.cell.version = value, version+1
	if deaf {
		return 0, errCut
	}
	return l.cell.version, nil
}

// witness sees every lease begin and end, and remembers what must not be.
type witness struct {
	mu     sync.Mutex
	owner  map[string]string
	epoch  map[string]uint64
	faults []string
}

func newWitness() *witness { return &witness{owner: map[string]string{}, epoch: map[string]uint64{}} }

func (w *witness) begin(member string, l lease.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other := w.owner[l.Name]; other != "" {
		w.faults = append(w.faults, fmt.Sprintf("%s got %s (epoch %d) while %s had it", member, l.Name, l.Epoch, other))
	}
	if l.Epoch <= w.epoch[l.Name] {
		w.faults = append(w.faults, fmt.Sprintf("%s got %s with epoch %d after %d", member, l.Name, l.Epoch, w.epoch[l.Name]))
	}
	w.owner[l.Name], w.epoch[l.Name] = member, l.Epoch
}

func (w *witness) end(member string, l lease.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.owner[l.Name] == member && w.epoch[l.Name] == l.Epoch {
		w.owner[l.Name] = ""
	}
}

// shares is how many names each member holds, and their sum.
func (w *witness) shares() (map[string]int, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shares, sum := map[string]int{}, 0
	for _, member := range w.owner {
		if member != "" {
			shares[member]++
			sum++
		}
	}
	return shares, sum
}

func (w *witness) epochs() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.epoch)
}

// work is a well-behaved owner: it takes drain to hand over, and stops within a moment of losing its lease.
func (w *witness) work(member string, drain time.Duration) func(context.Context, lease.Lease) {
	return func(ctx context.Context, l lease.Lease) {
		w.begin(member, l)
		defer w.end(member, l)
		select {
		case <-ctx.Done():
			return
		case <-l.Stop:
		}
		pause(ctx, drain)
	}
}

// joined runs a member until its leave is called, which waits for its end.
type joined struct {
	*link
	cancel context.CancelFunc
	done   chan struct{}
}

func (w *witness) join(t *testing.T, c *cell, member string, names int, drain time.Duration) joined {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	j := joined{link: &link{cell: c, delay: time.Millisecond}, cancel: cancel, done: make(chan struct{})}
	cfg := lease.Config{Member: member, Names: eight[:names], Log: slog.New(slog.DiscardHandler)}
	go func() {
		defer close(j.done)
		if err := lease.Run(ctx, j.link, cfg, w.work(member, drain)); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(j.leave)
	return j
}

func (j joined) leave() { j.cancel(); <-j.done }

func (w *witness) check(t *testing.T, want string) {
	t.Helper()
	w.mu.Lock()
	faults := strings.Join(w.faults, "\n")
	w.mu.Unlock()
	if faults != "" {
		t.Fatal(faults)
	}
	if shares, _ := w.shares(); fmt.Sprint(shares) != want {
		t.Fatalf("shares are %v, want %v", shares, want)
	}
}

var eight = []string{"0", "1", "2", "3", "4", "5", "6", "7"}

func TestMembersShareEvenlyAsTheyComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWitness(), &cell{}
		a := w.join(t, c, "a", 8, 100*time.Millisecond)
		pass(100 * time.Millisecond)
		w.check(t, "map[a:8]")
		b := w.join(t, c, "b", 8, 100*time.Millisecond)
		pass(2 * time.Second)
		w.check(t, "map[a:4 b:4]")
		d := w.join(t, c, "d", 8, 100*time.Millisecond)
		pass(2 * time.Second)
		w.check(t, "map[a:3 b:3 d:2]")
		a.leave()
		pass(2 * time.Second)
		w.check(t, "map[b:4 d:4]")
		b.leave()
		d.leave()
		w.check(t, "map[]")
		if got := string(c.value); !strings.Contains(got, `"members":{}`) || strings.Contains(got, "owner") {
			t.Errorf("the cell keeps who has left: %s", got)
		}
	})
}

func TestNothingMovesWithoutNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWitness(), &cell{}
		w.join(t, c, "a", 5, 0)
		w.join(t, c, "b", 5, 0)
		pass(5 * time.Second)
		before := w.epochs()
		pass(10 * time.Minute)
		if after := w.epochs(); after != before {
			t.Errorf("epochs were %s and are %s", before, after)
		}
	})
}

func TestADrainingOwnerKeepsItsLeaseForAsLongAsItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWitness(), &cell{}
		a := w.join(t, c, "a", 2, 5*time.Minute)
		pass(time.Second)
		w.join(t, c, "b", 2, 0)
		pass(4 * time.Minute)
		w.check(t, "map[a:2]")
		pass(62 * time.Second)
		w.check(t, "map[a:1 b:1]")
		began := time.Now()
		go a.leave()
		pass(time.Second)
		w.check(t, "map[a:1 b:1]")
		<-a.done
		pass(time.Second)
		w.check(t, "map[b:2]")
		if took := time.Since(began); took < 5*time.Minute {
			t.Errorf("the drain was cut short after %v", took)
		}
	})
}

func TestALostMemberIsReplacedAfterTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWitness(), &cell{}
		a := w.join(t, c, "a", 8, 0)
		w.join(t, c, "b", 8, 0)
		pass(5 * time.Second)
		w.check(t, "map[a:4 b:4]")
		a.set(true, false, 0)
		pass(12 * time.Second)
		w.check(t, "map[b:8]")
		a.set(false, false, 0)
		pass(3 * time.Second)
		w.check(t, "map[a:4 b:4]")
	})
}

func TestALostAnswerCostsAnEpochAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWitness(), &cell{}
		l := &link{cell: c, deaf: true}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- lease.Run(ctx, l, lease.Config{Names: eight, Log: slog.New(slog.DiscardHandler)}, w.work("a", 0))
		}()
		pass(time.Second)
		w.check(t, "map[]")
		l.set(false, false, 0)
		pass(time.Second)
		w.check(t, "map[a:8]")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestACallThatReturnsGivesItsNameBackAndIsNotCalledInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		calls := 0
		err := lease.Run(ctx, &link{cell: &cell{}}, lease.Config{Names: []string{"x"}}, func(_ context.Context, l lease.Lease) {
			if calls++; l.Epoch != uint64(calls) {
				t.Errorf("call %d has epoch %d", calls, l.Epoch)
			}
		})
		if err != nil || calls < 5 || calls > 100 {
			t.Errorf("called %d times in 10 s, %v", calls, err)
		}
	})
}

func TestTheEndOfRunsContextReachesStopAtOnceEvenIfTheRegisterHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWitness(), &cell{}
		a := w.join(t, c, "a", 8, 0)
		pass(time.Second)
		a.set(false, false, time.Hour)
		pass(3 * time.Second)
		a.cancel()
		pass(time.Nanosecond)
		w.check(t, "map[]")
		<-a.done
	})
}

func TestConfigMistakesAreNamed(t *testing.T) {
	for want, cfg := range map[string]lease.Config{
		"Names is empty":       {},
		"must not be negative": {Names: eight, TTL: -1},
		"at most half of TTL":  {Names: eight, TTL: time.Second, Renew: time.Second},
	} {
		if err := lease.Run(t.Context(), &link{}, cfg, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"members":{"a":{"beat":1}},"names":{"x":{"owner":"a","epoch":3}}}`))
	f.Add([]byte(`{"members":null}`))
	f.Add([]byte(``))
	f.Fuzz(func(_ *testing.T, value []byte) { _ = lease.Decode(value) })
}

// A process that holds a lock knows that whoever is in the cell is dead: it waits for nobody's TTL.
func TestAnExclusiveMemberTakesOverAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dead := []byte(`{"members":{"gone-1":{"beat":7}},"names":{"a":{"owner":"gone-1","epoch":4}}}`)
		for _, exclusive := range []bool{true, false} {
			reg := &link{cell: &cell{}}
			if _, err := reg.Swap(t.Context(), dead, 0); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			begun := time.Now()
			cfg := lease.Config{Names: []string{"a"}, Member: "new", Exclusive: exclusive, TTL: 10 * time.Second, Log: slog.New(slog.DiscardHandler)}
			err := lease.Run(ctx, reg, cfg, func(_ context.Context, l lease.Lease) {
				if took := time.Since(begun); exclusive != (took < time.Second) || l.Epoch != 5 {
					t.Errorf("exclusive %v: took over after %v with epoch %d", exclusive, took, l.Epoch)
				}
				cancel()
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
}
