//go:build unix

// Command bench compares tidings with the raw clients that it is built on, in one interleaved run on the same servers with the same JSON work.
//
//	go run . -nats nats://127.0.0.1:4222 -kafka kafka://127.0.0.1:9092
//
// It prints, for each case, the median rate of its rounds, the ratio to the raw client, and the CPU time and allocations that this process spent
// per message. Run it on an otherwise idle machine. The defaults take about three minutes. For the latency of live messages and of requests alone:
//
//	go run . -nats nats://127.0.0.1:4222 -only live, -rounds 20
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
)

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
	rounds := flags.Int("rounds", 5, "how often each case runs; the median counts. A round of latencies is 20 turns of each case")
	scale := flags.Float64("scale", 1, "how many messages, as a multiple of the usual number")
	natsURL := flags.String("nats", "", "URL of a nats-server with JetStream")
	natsPID := flags.Int("nats-pid", 0, "process id of that server, if it runs on this machine: its CPU time is reported")
	kafkaURL := flags.String("kafka", "", "URL of a Kafka cluster: kafka://host:port,…")
	kafkaPID := flags.Int("kafka-pid", 0, "process id of its only broker, likewise")
	postgresURL := flags.String("postgres", "", "URL of a PostgreSQL, for the outbox; needs -kafka too")
	postgresPID := flags.Int("postgres-pid", 0, "process id of that server, likewise")
	profile := flags.String("cpuprofile", "", "write a CPU profile of all of it to this file")
	only := flags.String("only", "", "run only comparisons whose title contains this")
	cases := flags.String("case", "", "and of those only cases whose name contains this; ratios are to the first of them")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		file, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // a profile that is cut short says so itself
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	comparisons := []comparison{inProcess()}
	if *natsURL != "" {
		comparisons = append(comparisons, natsComparisons(*natsURL, process(*natsPID))...)
	}
	if *kafkaURL != "" {
		comparisons = append(comparisons, kafkaComparisons(*kafkaURL, process(*kafkaPID))...)
	}
	if *kafkaURL != "" && *postgresURL != "" {
		comparisons = append(comparisons, outboxComparisons(*kafkaURL, *postgresURL, process(*postgresPID))...)
	}
	for _, c := range comparisons {
		if !strings.Contains(c.title, *only) {
			continue
		}
		c.n = int(float64(c.n) * *scale)
		c.measures = slices.DeleteFunc(c.measures, func(m measure) bool { return !strings.Contains(m.name, *cases) })
		if err := c.compare(ctx, *rounds, out); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
	}
	for _, d := range liveDuels(*natsURL) {
		if !strings.Contains(d.title, *only) {
			continue
		}
		if err := d.fight(ctx, int(math.Ceil(float64(*rounds)**scale)), *cases, out); err != nil {
			return fmt.Errorf("%s: %w", d.title, err)
		}
	}
	return nil
}
