//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// duel compares latencies that are short beside what a machine does meanwhile. So all contenders are ready at the same time, and take turns
// with few messages at a time; a ratio is that of two medians which are milliseconds apart.
type duel struct {
	title string
	// n is how many messages a turn has. There are turns for each round.
	n    int
	open func(ctx context.Context, c *corner) error
}

// turns is how often each contender has its turn in a round.
const turns = 20

// corner has the contenders, the first of which the others are compared with, and what ends them.
type corner struct {
	contenders []*contender
	close      []func() error
}

// contender moves one message at a time and tells how long it took.
type contender struct {
	name string
	move func(ctx context.Context, i int) (time.Duration, error)

	all     []time.Duration // of every message
	medians []time.Duration // of each turn
	cpu     float64         // seconds of this process
	allocs  uint64
}

func (c *corner) add(name string, move func(ctx context.Context, i int) (time.Duration, error)) {
	c.contenders = append(c.contenders, &contender{name: name, move: move})
}

// closing notes what ends a part, later parts first.
func (c *corner) closing(end func() error) { c.close = append(c.close, end) }

// fight runs all turns of the cases whose name contains this, and prints what came of them.
func (d duel) fight(ctx context.Context, rounds int, cases string, out io.Writer) (err error) {
	c := &corner{}
	defer func() {
		for _, end := range slices.Backward(c.close) {
			err = errors.Join(err, end())
		}
	}()
	if err := d.open(ctx, c); err != nil {
		return err
	}
	c.contenders = slices.DeleteFunc(c.contenders, func(k *contender) bool { return !strings.Contains(k.name, cases) })
	for turn := range rounds*turns + turns {
		for i := range c.contenders { // in another order each time
			k := c.contenders[(i+turn)%len(c.contenders)]
			if err := k.turn(ctx, d.n, turn >= turns); err != nil { // the first round warms up
				return fmt.Errorf("%s: %w", k.name, err)
			}
		}
	}
	fmt.Fprintf(out, "\n%s (%d turns of %d messages each, one at a time)\n", d.title, rounds*turns, d.n)
	return c.print(out)
}

func (k *contender) turn(ctx context.Context, n int, counts bool) error {
	took := make([]time.Duration, n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := ownCPU()
	for i := range took {
		var err error
		if took[i], err = k.move(ctx, i); err != nil {
			return err
		}
	}
	cpu = ownCPU() - cpu
	if !counts {
		return nil
	}
	runtime.ReadMemStats(&after)
	k.cpu += cpu
	k.allocs += after.Mallocs - before.Mallocs
	k.all = append(k.all, took...)
	k.medians = append(k.medians, at(took, 0.5))
	return nil
}

// at is a quantile. It sorts.
func at(took []time.Duration, q float64) time.Duration {
	slices.Sort(took)
	return took[int(q*float64(len(took)-1))]
}

func (c *corner) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "case\tp50 µs\tratio\tp90 µs\tp99 µs\tclient CPU µs/message\tallocs/message\t")
	for _, k := range c.contenders {
		ratios := make([]float64, len(k.medians))
		for i := range ratios {
			ratios[i] = float64(k.medians[i]) / float64(c.contenders[0].medians[i])
		}
		micros := func(q float64) float64 { return float64(at(k.all, q).Nanoseconds()) / 1000 }
		fmt.Fprintf(table, "%s\t%.1f\t%.2f\t%.1f\t%.1f\t%.1f\t%.1f\t\n", k.name, micros(0.5), median(ratios, func(r float64) float64 { return r }), micros(0.9), micros(0.99),
			k.cpu/float64(len(k.all))*1e6, float64(k.allocs)/float64(len(k.all)))
	}
	return table.Flush()
}
