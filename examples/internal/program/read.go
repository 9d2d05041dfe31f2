package program

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// MakeTables makes tables, by statements that end with ";" and a new line. In PostgreSQL two processes that make a table at the same moment can collide, though both say
// IF NOT EXISTS: who has lost finds it made when it tries again.
func MakeTables(ctx context.Context, db *sql.DB, schemas ...string) error {
	const tries = 3
	var err error
	for range tries {
		err = nil
		for _, schema := range schemas {
			for statement := range strings.SplitSeq(schema, ";\n") {
				_, failed := db.ExecContext(ctx, statement)
				err = errors.Join(err, failed)
			}
		}
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("make the tables: %w", err)
}

// ReadTopics calls each for all that is on topics now, one message after the other, those of a partition in their order.
func ReadTopics(ctx context.Context, b broker.Broker, topics []string, each func(d *broker.Delivery) error) error {
	var mu sync.Mutex
	var failed error
	err := b.Consume(ctx, broker.Reader{Topics: topics, ToEnd: true}, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, end := p.Fetch(ctx, 1000, 4<<20)
			mu.Lock()
			for i := range deliveries {
				failed = errors.Join(failed, each(&deliveries[i]))
			}
			if end != nil && !errors.Is(end, io.EOF) {
				failed = errors.Join(failed, end)
			}
			mu.Unlock()
			if end != nil {
				return
			}
		}
	})
	return errors.Join(err, failed, ctx.Err())
}

// Waiting is what is in stores: rows of the outbox that are not sent, and dead letters.
func Waiting(ctx context.Context, stores ...store.Admin) (outbox, dead int64, err error) {
	for _, s := range stores {
		status, err := s.Status(ctx)
		if err != nil {
			return 0, 0, fmt.Errorf("look into the store: %w", err)
		}
		for _, q := range status.Queues {
			dead += q.Dead
			if q.Queue == "" {
				outbox += q.Ready + q.Scheduled + q.Held
			}
		}
	}
	return outbox, dead, nil
}

// Rest waits until nothing is left in stores to send, and for apps to handle, in this process and in others.
func Rest(ctx context.Context, apps []*tidings.App, stores ...store.Admin) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for idle := 0; idle < 2; idle++ { // a message may be on its way from the outbox to the topic
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for rest: %w", context.Cause(ctx))
		}
		left, err := unfinished(ctx, apps, stores)
		if err != nil {
			return err
		}
		if left > 0 {
			idle = -1
		}
	}
	return nil
}

// unfinished is how many rows wait in outboxes, and how many messages subscriptions have not finished.
func unfinished(ctx context.Context, apps []*tidings.App, stores []store.Admin) (uint64, error) {
	outbox, _, err := Waiting(ctx, stores...)
	if err != nil {
		return 0, err
	}
	left := uint64(outbox)
	for _, app := range apps {
		states, err := app.Topics(ctx)
		if err != nil {
			return 0, err
		}
		for i := range states {
			for _, lag := range states[i].Lag {
				left += lag
			}
		}
	}
	return left, nil
}
