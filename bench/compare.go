//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// comparison has the measure that the others are compared with first.
type comparison struct {
	title    string
	n        int
	server   process
	measures []measure
	// latency asks for how long messages took, and not for how many there were in a second.
	latency bool
	// prepare, which may be nil, makes what all rounds need, and returns what removes it.
	prepare func(ctx context.Context, n int) (remove func() error, err error)
}

// compare runs the measures in turn, so that whatever else the machine does is shared by all of them.
func (c comparison) compare(ctx context.Context, rounds int, out io.Writer) (err error) {
	if c.prepare != nil {
		remove, err := c.prepare(ctx, c.n)
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		defer func() { err = errors.Join(err, remove()) }()
	}
	costs := make([][]cost, len(c.measures))
	latencies := make([]map[string][]time.Duration, len(c.measures))
	for round := range rounds + 1 {
		for i, m := range c.measures {
			if round <= 1 { // the first warms up
				latencies[i] = map[string][]time.Duration{}
			}
			spent, err := m.spend(ctx, &trial{n: c.n, server: c.server, latencies: latencies[i]})
			if err != nil {
				return err
			}
			if round > 0 {
				costs[i] = append(costs[i], spent)
			}
		}
	}
	if c.latency {
		return c.printLatencies(out, rounds, latencies)
	}
	return c.printRates(out, rounds, costs)
}

// printRates prints medians. The ratio is the median of each round's, because what disturbs a round mostly disturbs all of it.
func (c comparison) printRates(out io.Writer, rounds int, costs [][]cost) error {
	fmt.Fprintf(out, "\n%s (%d messages, %d rounds)\n", c.title, c.n, rounds)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "case\tmessages/s\tratio\tµs/message\tclient CPU s/million\tserver CPU s/million\tallocs/message\t")
	for i, m := range c.measures {
		ratios := make([]float64, len(costs[i]))
		for round, spent := range costs[i] {
			ratios[round] = spent.rate() / costs[0][round].rate()
		}
		rate := median(costs[i], cost.rate)
		server := "?"
		if s := median(costs[i], func(s cost) float64 { return s.server / s.n * 1e6 }); s >= 0 {
			server = strconv.FormatFloat(s, 'f', 1, 64)
		}
		fmt.Fprintf(table, "%s\t%.0f\t%.2f\t%.1f\t%.1f\t%s\t%.1f\t\n", m.name, rate, median(ratios, func(r float64) float64 { return r }), 1e6/rate,
			median(costs[i], func(s cost) float64 { return s.cpu / s.n * 1e6 }), server, median(costs[i], func(s cost) float64 { return s.allocs / s.n }))
	}
	return table.Flush()
}

func (s cost) rate() float64 { return s.n / s.seconds }

func (c comparison) printLatencies(out io.Writer, rounds int, latencies []map[string][]time.Duration) error {
	fmt.Fprintf(out, "\n%s (%d messages, %d rounds)\n", c.title, c.n, rounds)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "case\tp50 ms\tp90 ms\tp99 ms\tworst ms\t")
	for i, m := range c.measures {
		for _, what := range slices.Sorted(maps.Keys(latencies[i])) {
			took := latencies[i][what]
			slices.Sort(took)
			at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
			fmt.Fprintf(table, "%s, %s\t%.2f\t%.2f\t%.2f\t%.2f\t\n", m.name, what, at(0.5), at(0.9), at(0.99), at(1))
		}
	}
	return table.Flush()
}

func median[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, len(all))
	for i := range all {
		values[i] = of(all[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}
