package lease_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tidings-go/tidings/internal/lease"
)

// event is something that happens to a member of a simulated group.
type event struct {
	After  time.Duration
	Member int
	What   int // see simulate
	Delay  time.Duration
}

func events() *rapid.Generator[[]event] {
	ms := func(most int) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.IntRange(0, most), func(n int) time.Duration { return time.Duration(n) * time.Millisecond })
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
		return event{
			After: ms(8000).Draw(t, "after"), Member: rapid.IntRange(0, 3).Draw(t, "member"),
			What: rapid.IntRange(0, 4).Draw(t, "what"), Delay: ms(4000).Draw(t, "delay"),
		}
	}), 1, 25)
}

// simulate lets four members live through the events, then lets all of them be well and tells what went wrong.
func simulate(t *testing.T, script []event, patience time.Duration) (faults []string) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWitness(), &cell{}
		links := make([]*link, 4)
		cancels := make([]context.CancelFunc, 4)
		var running sync.WaitGroup
		start := func(i int) {
			var ctx context.Context
			ctx, cancels[i] = context.WithCancel(t.Context())
			cfg := lease.Config{Names: eight[:7], Log: slog.New(slog.DiscardHandler)}
			work := w.work(fmt.Sprint("member ", i), 300*time.Millisecond)
			running.Go(func() {
				if err := lease.RunImpatiently(ctx, links[i], cfg, patience, work); err != nil {
					t.Error(err)
				}
			})
		}
		for i := range links {
			links[i] = &link{cell: c}
			start(i)
		}
		for _, e := range script {
			time.Sleep(e.After)
			switch e.What {
			case 0:
				links[e.Member].set(false, false, 0)
			case 1:
				links[e.Member].set(true, false, 0)
			case 2:
				links[e.Member].set(false, false, e.Delay)
			case 3:
				links[e.Member].set(false, true, e.Delay/10)
			case 4: // a restart: the new one is there before the old one has drained
				cancels[e.Member]()
				start(e.Member)
			}
		}
		for i := range links {
			links[i].set(false, false, time.Millisecond)
		}
		time.Sleep(25 * time.Second)
		shares, sum := w.shares()
		if sum != 7 {
			w.faults = append(w.faults, fmt.Sprintf("only %d names of 7 have an owner at last: %v", sum, shares))
		}
		for member, n := range shares {
			if n > 2 {
				w.faults = append(w.faults, fmt.Sprintf("%s has %d names of 7 at last", member, n))
			}
		}
		for _, cancel := range cancels {
			cancel()
		}
		running.Wait()
		faults = w.faults
	})
	return faults
}

func TestOneOwnerAtATimeWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		if faults := simulate(t, events().Draw(rt, "script"), 10*time.Second); len(faults) > 0 {
			rt.Fatal(strings.Join(faults, "\n"))
		}
	})
}

// A member that does not wait for the TTL must be caught by the same simulation, or the simulation proves nothing.
func TestTheSimulationSeesTwoOwners(t *testing.T) {
	script := []event{{After: 2 * time.Second, Member: 0, What: 1}, {After: 8 * time.Second, Member: 0, What: 0}}
	if faults := simulate(t, script, 10*time.Second); len(faults) > 0 {
		t.Fatal(strings.Join(faults, "\n"))
	}
	if faults := simulate(t, script, 4*time.Second); len(faults) == 0 {
		t.Error("two owners at a time were not noticed")
	}
}
