package admin

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings/store"
)

// Waiting says how a row and others wait for each other.
type Waiting struct {
	// For are the ids of what a held row waits for: the dead rows of its queue, topic and key and, in a subscription's queue, those that
	// are handled again. Empty: it waits only for its turn.
	For []int64
	// Behind is how many held rows wait for a dead one.
	Behind int
}

// place is what rows wait by.
type place struct{ queue, topic, key string }

func placeOf(r *store.Row) place { return place{r.Queue, r.Record.Topic, r.Record.Key} }

// Waits says of each of the rows, by id, what it waits for or what waits for it. Rows that have nothing to do with others are left out.
func Waits(ctx context.Context, s store.Store, rows []store.Row) (map[int64]Waiting, error) {
	queues, asked := map[string]bool{}, map[place]bool{}
	for i := range rows {
		if p := placeOf(&rows[i]); p.key != "" {
			queues[p.queue], asked[p] = true, true
		}
	}
	first, behind := map[place][]int64{}, map[place]int{}
	for queue := range queues {
		err := eachWaiting(ctx, s, queue, func(row *store.Row) {
			switch p := placeOf(row); {
			case !asked[p]:
			case row.State == store.Held:
				behind[p]++
			default:
				first[p] = append(first[p], row.ID)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("admin: look what waits: %w", err)
		}
	}
	waits := map[int64]Waiting{}
	for i := range rows {
		r := &rows[i]
		switch p := placeOf(r); {
		case r.State == store.Held:
			waits[r.ID] = Waiting{For: first[p]}
		case r.State == store.Dead && behind[p] > 0:
			waits[r.ID] = Waiting{Behind: behind[p]}
		}
	}
	return waits, nil
}

// eachWaiting calls fn for the rows of a queue that wait, or that others wait for.
func eachWaiting(ctx context.Context, s store.Store, queue string, fn func(row *store.Row)) error {
	states := []store.State{store.Dead, store.Held}
	if queue != "" {
		states = append(states, store.Ready) // In the outbox these wait for the relay, and nobody for them.
	}
	for row, err := range s.List(ctx, store.Filter{Queues: []string{queue}, States: states}) {
		if err != nil {
			return err
		}
		fn(&row)
	}
	return nil
}
