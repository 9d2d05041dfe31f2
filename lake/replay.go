package lake

import (
	"context"
	"fmt"
	"iter"

	"github.com/tidings-go/tidings"
)

// Fact is a message of the lake with its payload.
type Fact[T any] struct {
	Message Message
	Payload T
}

// Replay reads what a subscription that reacts to the event would have handled since the lake began, in the lake's order:
//
//	for made, err := range lake.Replay(ctx, db, BookingMade2, lake.Filter{}) {
//
// Messages of the versions that the event evolves from come with a payload of the event's own type; a fact that is told in several versions comes once. The filter's Types
// are the event's. A payload that can't be read is an error beside its message, and reading goes on for as long as the caller ranges.
func Replay[T any](ctx context.Context, db DB, event *tidings.Event[T], f Filter) iter.Seq2[Fact[T], error] {
	limit := f.Limit
	f.Types, f.Limit = event.Types(), 0
	return func(yield func(Fact[T], error) bool) {
		n := 0
		for m, err := range Read(ctx, db, f) {
			if err != nil {
				yield(Fact[T]{}, err)
				return
			}
			if !event.Reads(m.Message) {
				continue
			}
			payload, err := event.In(m.Message)
			if err != nil {
				err = fmt.Errorf("lake: position %d: %w", m.Position, err)
			}
			if n++; !yield(Fact[T]{m, payload}, err) || n == limit {
				return
			}
		}
	}
}
