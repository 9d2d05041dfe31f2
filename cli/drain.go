package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// drainEvery is how often a drainer looks.
const drainEvery = 250 * time.Millisecond

// drainer waits until partitions of topics with keys can be changed.
type drainer struct {
	subject *subject
	plan    *plan
	status  io.Writer
	said    string
}

// underway is what must be gone first.
type underway struct {
	Outbox    int
	Unsettled uint64
	Members   []string
	messages  uint64
}

// wait waits until nothing is on its way to the topics, everything in them is settled, and nobody reads: seen twice in a row, with no message in between.
func (d *drainer) wait(ctx context.Context, limit time.Duration) error {
	var topics []broker.Topic
	for _, c := range d.plan.Changes {
		if c.Action == drainFirst {
			topics = append(topics, broker.Topic{Name: c.Topic})
		}
	}
	if len(topics) == 0 {
		return nil
	}
	if d.subject.app == nil && d.subject.store == nil {
		return usageError{errors.New("--drain needs --store: the store's outbox must be empty")}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("drain: not all was gone after %v; nothing was changed", limit))
	defer cancel()
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	var before *underway
	for {
		now, err := d.look(ctx, topics)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if now.gone() && before != nil && before.gone() && before.messages == now.messages {
			break
		}
		d.say(now)
		before = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for _, c := range d.plan.Changes {
		c.drained = c.Action == drainFirst
	}
	return nil
}

func (d *drainer) look(ctx context.Context, topics []broker.Topic) (*underway, error) {
	var u underway
	var err error
	if d.subject.store != nil {
		if u.Outbox, _, err = countRows(ctx, d.subject.store, store.Filter{Queues: []string{""}}); err != nil {
			return nil, fmt.Errorf("drain: look at the outbox: %w", err)
		}
	}
	states, err := d.subject.broker.Topics(ctx, broker.Survey, topics...)
	if err != nil {
		return nil, fmt.Errorf("drain: look at topics: %w", err)
	}
	for i := range states {
		u.messages += states[i].Messages
		for _, r := range states[i].Readers {
			u.Unsettled += r.Lag
			if r.Members > 0 && !slices.Contains(u.Members, r.Group) {
				u.Members = append(u.Members, r.Group)
			}
		}
	}
	return &u, nil
}

func (u *underway) gone() bool { return u.Outbox == 0 && u.Unsettled == 0 && len(u.Members) == 0 }

// say says what is waited for, when that has changed.
func (d *drainer) say(u *underway) {
	text := fmt.Sprintf("waiting: %d rows in the outbox, %d messages to settle, groups that read: %s", u.Outbox, u.Unsettled, strings.Join(u.Members, ", "))
	if u.Outbox == 0 && u.Unsettled == 0 && len(u.Members) > 0 {
		text = "waiting: stop the service now, these groups still read: " + strings.Join(u.Members, ", ")
	}
	if text != d.said && !u.gone() {
		d.said = text
		_, _ = fmt.Fprintln(d.status, text) // progress is not worth an error
	}
}

// countedRows is beyond what rows are not counted.
const countedRows = 10_000

// countRows counts rows, and finds when the oldest was appended.
func countRows(ctx context.Context, s store.Store, f store.Filter) (n int, oldest time.Time, err error) {
	f.Limit = countedRows
	for row, err := range s.List(ctx, f) {
		if errors.Is(err, store.ErrNotMigrated) {
			return 0, oldest, nil // nobody has put anything there
		}
		if err != nil {
			return n, oldest, err
		}
		if n == 0 || row.Created.Before(oldest) {
			oldest = row.Created
		}
		n++
	}
	return n, oldest, nil
}
