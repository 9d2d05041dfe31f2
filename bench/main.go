//go:build unix

// Command bench compares tidings with the raw clients that it is built on, in one interleaved run on the same servers with the same JSON work.
//
//	go run . -nats nats://127.0.0.1:4222
//
// It prints, for each case, the median rate of its rounds, the ratio to the raw client, and the CPU time and allocations that this process spent
// per message. Servers spend their own; run it on an otherwise idle machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// measure is one way to do a piece of work: it moves n messages from end to end.
type measure struct {
	name string
	run  func(ctx context.Context, n int) error
}

// comparison has the raw client first.
type comparison struct {
	title    string
	n        int
	measures []measure
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rounds := flags.Int("rounds", 5, "how often each case runs; the median counts")
	scale := flags.Float64("scale", 1, "how many messages, as a multiple of the usual number")
	natsURL := flags.String("nats", "", "URL of a nats-server with JetStream")
	only := flags.String("only", "", "run only comparisons whose title contains this")
	if err := flags.Parse(args); err != nil {
		return err
	}
	comparisons := []comparison{inProcess()}
	if *natsURL != "" {
		comparisons = append(comparisons, jetStream(*natsURL), live(*natsURL))
	}
	for _, c := range comparisons {
		if !strings.Contains(c.title, *only) {
			continue
		}
		c.n = int(float64(c.n) * *scale)
		if err := c.compare(ctx, *rounds, out); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
	}
	return nil
}

// cost is what one round of a measure took.
type cost struct {
	seconds, cpu float64
	allocs       uint64
}

// compare runs the measures in turn, so that whatever else the machine does is shared by all of them.
func (c comparison) compare(ctx context.Context, rounds int, out io.Writer) error {
	costs := make([][]cost, len(c.measures))
	for round := range rounds + 1 {
		for i, m := range c.measures {
			spent, err := meter(func() error { return m.run(ctx, c.n) })
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			if round > 0 { // the first warms up
				costs[i] = append(costs[i], spent)
			}
		}
	}
	fmt.Fprintf(out, "\n%s (%d messages, %d rounds)\n", c.title, c.n, rounds)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "case\tmessages/s\tratio\tns/message\tCPU ns/message\tallocs/message\t")
	base := 0.0
	for i, m := range c.measures {
		mid := median(costs[i])
		rate := float64(c.n) / mid.seconds
		if i == 0 {
			base = rate
		}
		per := 1e9 / float64(c.n)
		fmt.Fprintf(table, "%s\t%.0f\t%.2f\t%.0f\t%.0f\t%.1f\t\n", m.name, rate, rate/base, mid.seconds*per, mid.cpu*per, float64(mid.allocs)/float64(c.n))
	}
	return table.Flush()
}

func meter(do func() error) (cost, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, started := cpuSeconds(), time.Now()
	err := do()
	c := cost{seconds: time.Since(started).Seconds(), cpu: cpuSeconds() - cpu}
	runtime.ReadMemStats(&after)
	c.allocs = after.Mallocs - before.Mallocs
	return c, err
}

func median(costs []cost) cost {
	slices.SortFunc(costs, func(a, b cost) int {
		if a.seconds < b.seconds {
			return -1
		}
		return 1
	})
	return costs[len(costs)/2]
}

// cpuSeconds is the CPU time that this process has used.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
