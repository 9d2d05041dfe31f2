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
	What   int // see live
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

// group is four members that live through a script.
type group struct {
	t        *testing.T
	w        *witness
	patience time.Duration
	links    [4]*link
	cancels  [4]context.CancelFunc
	running  sync.WaitGroup
}

func (g *group) start(i int) {
	var ctx context.Context
	ctx, g.cancels[i] = context.WithCancel(g.t.Context())
	cfg := lease.Config{Names: eight[:7], Log: slog.New(slog.DiscardHandler)}
	work := g.w.work(fmt.Sprint("member ", i), 300*time.Millisecond)
	g.running.Go(func() {
		if err := lease.RunImpatiently(ctx, g.links[i], cfg, g.patience, work); err != nil {
			g.t.Error(err)
		}
	})
}

func (g *group) live(e event) {
	pass(e.After)
	switch l := g.links[e.Member]; e.What {
	case 0: // well
		l.set(false, false, 0)
	case 1: // cut off
		l.set(true, false, 0)
	case 2: // slow
		l.set(false, false, e.Delay)
	case 3: // swaps work, and their answers are lost
		l.set(false, true, e.Delay/10)
	case 4: // a restart: the new one is there before the old one has drained
		g.cancels[e.Member]()
		g.start(e.Member)
	}
}

// settle lets everybody be well, and complains if the names are not divided after a while.
func (g *group) settle() {
	for _, l := range g.links {
		l.set(false, false, time.Millisecond)
	}
	pass(25 * time.Second)
	shares, sum := g.w.shares()
	if sum != 7 {
		g.w.faults = append(g.w.faults, fmt.Sprintf("only %d names of 7 have an owner at last: %v", sum, shares))
	}
	for member, n := range shares {
		if n > 2 {
			g.w.faults = append(g.w.faults, fmt.Sprintf("%s has %d names of 7 at last", member, n))
		}
	}
}

// simulate runs a script with members that wait so long before they take from others, and tells what went wrong.
func simulate(t *testing.T, script []event, patience time.Duration) (faults []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &group{t: t, w: newWitness(), patience: patience}
		c := &cell{}
		for i := range g.links {
			g.links[i] = &link{cell: c}
			g.start(i)
		}
		for _, e := range script {
			g.live(e)
		}
		g.settle()
		for _, cancel := range g.cancels {
			cancel()
		}
		g.running.Wait()
		faults = g.w.faults
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
