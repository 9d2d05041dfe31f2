package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/tidings-go/tidings/examples/tickets"
	"github.com/tidings-go/tidings/sse"
)

// gentle is the time between two bookings of a demo without an end.
const gentle = 300 * time.Millisecond

// demoRun is one run of the demo.
type demoRun struct {
	options  demoOptions
	platform *tickets.Platform
	in       io.Reader
	out      io.Writer // the summary, and nothing else
	status   io.Writer // everything for people
	badLines int
}

// run runs the platform, and ends it when the work is done or ctx ends.
func (d *demoRun) run(ctx context.Context) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- d.platform.Run(running) }()
	select {
	case <-d.platform.App().Ready():
	case err := <-ended:
		return err
	case <-ctx.Done():
		stop()
		return errors.Join(d.options.interrupted(), <-ended)
	}
	work := make(chan error, 1)
	go func() { work <- d.work(ctx) }()
	select {
	case err := <-ended: // it has failed; the work will notice its own way
		return err
	case err := <-work:
		stop()
		return errors.Join(err, <-ended)
	}
}

// work does what the options ask for, while the platform runs.
func (d *demoRun) work(ctx context.Context) error {
	if !d.options.bounded() {
		return d.trickle(ctx)
	}
	var updates atomic.Int64
	followed := make(chan struct{})
	following, stop := context.WithCancel(ctx)
	go func() {
		defer close(followed)
		// Updates are counted as a page would see them. The platform promises none, so a page that can't connect sees none.
		_ = tickets.Follow(following, d.platform.URL(), func(sse.Event) { updates.Add(1) })
	}()
	defer func() { stop(); <-followed }()

	started := time.Now()
	bar := newBar(d.status, d.options.bookings)
	err := d.book(ctx, bar)
	if err == nil {
		err = d.platform.Quiet(ctx, func(p tickets.Progress) { bar.waiting(p) })
	}
	bar.done()
	if err != nil {
		return d.options.unlessInterrupted(ctx, err)
	}
	summary, err := d.platform.Report(ctx)
	if err != nil {
		return d.options.unlessInterrupted(ctx, err)
	}
	summary.SSEUpdates, summary.Seconds = updates.Load(), time.Since(started).Seconds()
	return d.print(&summary)
}

// unlessInterrupted is err, or what is said instead when the run was interrupted.
func (o *demoOptions) unlessInterrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return o.interrupted()
}

// interrupted is what is said of a run that was ended before its work was. One without a bound is always ended like this.
func (o *demoOptions) interrupted() error {
	switch {
	case !o.bounded():
		return nil
	case o.data != "":
		return errors.New("interrupted: run it again to go on from what is there")
	default:
		return errors.New("interrupted")
	}
}

// book makes the bookings.
func (d *demoRun) book(ctx context.Context, bar *bar) error {
	if d.options.input == "" {
		return d.platform.Fill(ctx, d.options.bookings, bar.set)
	}
	return d.readInput(ctx, bar)
}

// trickle makes a booking now and then, refunds some, and ends with ctx.
func (d *demoRun) trickle(ctx context.Context) error {
	fmt.Fprintf(d.status, "The ticket platform is at %s\nPress Ctrl-C to end it.\n", d.platform.URL())
	tick := time.NewTicker(gentle)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			fmt.Fprintln(d.status, "Draining.")
			return nil
		case <-tick.C:
		}
		booking, err := d.platform.Book(ctx, tickets.RandomRequest())
		if err == nil && n%10 == 0 {
			err = d.platform.Refund(ctx, booking.ID)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// print prints the summary, and says what is wrong.
func (d *demoRun) print(s *tickets.Summary) error {
	problems := s.Problems()
	if d.badLines > 0 {
		problems = append(problems, fmt.Sprintf("%d lines of the input were bad and skipped", d.badLines))
	}
	if err := d.write(s); err != nil {
		return fmt.Errorf("print the summary: %w", err)
	}
	for _, p := range problems {
		fmt.Fprintln(d.status, "wrong:", p)
	}
	if len(problems) > 0 {
		return errWrong
	}
	return nil
}

func (d *demoRun) write(s *tickets.Summary) error {
	if d.options.output == "json" {
		return json.NewEncoder(d.out).Encode(s)
	}
	_, err := fmt.Fprintf(d.out, `bookings          %d
public events     %d
internal events   %d
lake rows         %d (%d internal)
read model rows   %d
updates seen      %d
lost              %d
doubled effects   %d
out of order      %d
dead letters      %d
left in outbox    %d
seconds           %.1f
`, s.Bookings, s.PublicEvents, s.InternalEvents, s.LakeRows, s.InternalInLake, s.ReadModelRows, s.SSEUpdates,
		s.Lost, s.DuplicateEffects, s.OutOfOrder, s.DeadLetters, s.OutboxLeft, s.Seconds)
	return err
}
