package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/sse"
)

// gentle is the time between two bookings of a demo without an end.
const gentle = 300 * time.Millisecond

// try says what to try while it runs. README.md has the same. The refund is of the newest booking.
const try = `Open it to see bookings come, or try:

curl -s --json '{"show":"hamlet","customer":"Ada","seats":2}' %[1]s/bookings
curl -s '%[1]s/ops/bookings?limit=3'
curl -s -X POST %[1]s/bookings/$(curl -s '%[1]s/ops/bookings?limit=1' | cut -d'"' -f4)/refund
curl -s %[1]s/ops/totals
curl -s %[1]s/openapi.json

`

// run is one run of the platform.
type run struct {
	options  options
	platform *platform.Platform
	in       io.Reader
	out      io.Writer // the summary, and nothing else
	status   io.Writer // everything for people
	badLines int
}

// run runs the platform, and ends it when the work is done or ctx ends.
func (r *run) run(ctx context.Context) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.platform.Run(running) }()
	select {
	case <-r.platform.App().Ready():
	case err := <-ended:
		return err
	case <-ctx.Done():
		stop()
		return errors.Join(r.options.interrupted(), <-ended)
	}
	work := make(chan error, 1)
	go func() { work <- r.work(ctx) }()
	select {
	case err := <-ended: // it has failed; the work will notice its own way
		return err
	case err := <-work:
		stop()
		return errors.Join(err, <-ended)
	}
}

// work does what the options ask for, while the platform runs.
func (r *run) work(ctx context.Context) error {
	if !r.options.bounded() {
		return r.trickle(ctx)
	}
	var updates atomic.Int64
	followed := make(chan struct{})
	following, stop := context.WithCancel(ctx)
	go func() {
		defer close(followed)
		// Updates are counted as a page would see them. The platform promises none, so a page that can't connect sees none.
		_ = platform.Follow(following, r.platform.URL(), func(sse.Event) { updates.Add(1) })
	}()
	defer func() { stop(); <-followed }()

	started := time.Now()
	bar := newBar(r.status, r.options.bookings)
	err := r.book(ctx, bar)
	if err == nil {
		err = r.platform.Quiet(ctx, func(p platform.Progress) { bar.waiting(p) })
	}
	bar.done()
	if err != nil {
		return r.options.unlessInterrupted(ctx, err)
	}
	summary, err := r.platform.Report(ctx)
	if err != nil {
		return r.options.unlessInterrupted(ctx, err)
	}
	summary.SSEUpdates, summary.Seconds = updates.Load(), time.Since(started).Seconds()
	return r.print(&summary)
}

// unlessInterrupted is err, or what is said instead when the run was interrupted.
func (o *options) unlessInterrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return o.interrupted()
}

// interrupted is what is said of a run that was ended before its work was. One without a bound is always ended like this.
func (o *options) interrupted() error {
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
func (r *run) book(ctx context.Context, bar *bar) error {
	if r.options.input == "" {
		return r.platform.Fill(ctx, r.options.bookings, bar.set)
	}
	return r.readInput(ctx, bar)
}

// trickle makes a booking now and then, refunds some, and ends with ctx.
func (r *run) trickle(ctx context.Context) error {
	fmt.Fprintf(r.status, "The ticket platform is at %s\n", r.platform.URL())
	if r.options.output == "text" {
		fmt.Fprintf(r.status, try, r.platform.URL())
	}
	fmt.Fprintln(r.status, "Press Ctrl-C to end it.")
	tick := time.NewTicker(gentle)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			fmt.Fprintln(r.status, "Draining.")
			return nil
		case <-tick.C:
		}
		booking, err := r.platform.Book(ctx, platform.RandomRequest())
		if err == nil && n%10 == 0 {
			err = r.platform.Refund(ctx, booking.ID)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// print prints the summary, and says what is wrong.
func (r *run) print(s *platform.Summary) error {
	problems := s.Problems()
	if r.badLines > 0 {
		problems = append(problems, fmt.Sprintf("%d lines of the input were bad and skipped", r.badLines))
	}
	if err := r.write(s); err != nil {
		return fmt.Errorf("print the summary: %w", err)
	}
	for _, p := range problems {
		fmt.Fprintln(r.status, "wrong:", p)
	}
	if len(problems) > 0 {
		return cli.ErrWrong
	}
	return nil
}

func (r *run) write(s *platform.Summary) error {
	if r.options.output == "json" {
		return json.NewEncoder(r.out).Encode(s)
	}
	_, err := fmt.Fprintf(r.out, `bookings          %d
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
