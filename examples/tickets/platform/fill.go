package platform

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Shows and customers of bookings that nobody made by hand. Few shows make for busy ones: their events must stay in order.
var (
	shows = []string{
		"hamlet", "macbeth", "othello", "the-tempest", "king-lear", "faust", "medea", "antigone",
		"tosca", "carmen", "aida", "fidelio", "giselle", "swan-lake", "the-nutcracker", "cats",
	}
	customers = []string{"Ada", "Alan", "Barbara", "Claude", "Donald", "Edsger", "Frances", "Grace", "Ken", "Leslie", "Margaret", "Radia"}
)

// RandomRequest is a request for a few seats of some show by somebody.
func RandomRequest() Request {
	return Request{
		Show:     shows[rand.IntN(len(shows))],
		Customer: customers[rand.IntN(len(customers))],
		Seats:    1 + rand.IntN(4),
	}
}

// fillers is how many bookings Fill makes at once: databases commit together what comes together.
const fillers = 32

// Fill makes random bookings as fast as it can until there are n in total, with those of earlier runs, and refunds until a tenth of
// them is refunded. It calls progress, which may be nil, with the number of bookings that there are, from any goroutine.
// An outage of the database is waited for: what is there then is counted anew.
func (p *Platform) Fill(ctx context.Context, n int64, progress func(bookings int64)) error {
	var failing time.Time
	for most := int64(-1); ; {
		err := p.fill(ctx, n, progress)
		if err == nil || ctx.Err() != nil {
			return err
		}
		made := audit{db: p.db}
		if count := made.count(ctx, `bookings`) + made.count(ctx, `refunds`); made.err == nil && count > most {
			most, failing = count, time.Now()
		}
		if failing.IsZero() {
			failing = time.Now()
		}
		if time.Since(failing) > patience {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// fill makes what is missing, until something fails.
func (p *Platform) fill(ctx context.Context, n int64, progress func(bookings int64)) error {
	a := audit{db: p.db}
	made, refunded := a.count(ctx, `bookings`), a.count(ctx, `refunds`)
	if a.err != nil {
		return fmt.Errorf("tickets: fill: %w", a.err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := filler{platform: p, total: n, progress: progress}
	f.started.Store(made)
	f.made.Store(made)
	f.refunds.Store(n/10 - refunded)
	var workers sync.WaitGroup
	for range fillers {
		workers.Go(func() {
			if err := f.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("tickets: fill: %w", context.Cause(ctx))
	}
	return p.refundOldest(ctx, f.refunds.Load())
}

type filler struct {
	platform *Platform
	total    int64
	progress func(int64)
	started  atomic.Int64 // bookings that were begun, with earlier ones
	made     atomic.Int64 // bookings that are there
	refunds  atomic.Int64 // refunds to make
}

// work makes bookings, and refunds every tenth at once, while its events are still on their way.
func (f *filler) work(ctx context.Context) error {
	for i := f.started.Add(1); i <= f.total; i = f.started.Add(1) {
		b, err := f.platform.Book(ctx, RandomRequest())
		if err != nil {
			return err
		}
		if made := f.made.Add(1); f.progress != nil {
			f.progress(made)
		}
		if i%10 == 0 && f.refunds.Add(-1) >= 0 {
			if err := f.platform.Refund(ctx, b.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// refundOldest refunds n bookings that are not refunded: those that a run which was cut short still owes.
func (p *Platform) refundOldest(ctx context.Context, n int64) error {
	if n <= 0 {
		return nil
	}
	const oldest = `SELECT id FROM bookings WHERE id NOT IN (SELECT booking_id FROM refunds) ORDER BY id LIMIT $1`
	rows, err := p.db.QueryContext(ctx, oldest, n)
	if err != nil {
		return fmt.Errorf("tickets: find bookings to refund: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("tickets: find bookings to refund: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("tickets: find bookings to refund: %w", err)
	}
	for _, id := range ids {
		if err := p.Refund(ctx, id); err != nil {
			return err
		}
	}
	return nil
}
