package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// Summary tells what became of all bookings and refunds. It is worked out by reading database and broker back; nothing was counted along
// the way, except SSEUpdates and Seconds, which whoever ran the platform fills in.
type Summary struct {
	// Bookings is the number of bookings, and Refunds that of refunds: the truth that all else is compared with.
	Bookings int64 `json:"bookings"`
	Refunds  int64 `json:"-"`
	// PublicEvents is how many different messages are on the topic "events": 4 for each booking and 1 for each refund.
	PublicEvents int64 `json:"public_events"`
	// InternalEvents is how many different messages are on the internal topic: 1 for each public event.
	InternalEvents int64 `json:"internal_events"`
	// LakeRows is how many messages the lake has, and InternalInLake how many of them are not public events.
	LakeRows       int64 `json:"lake_rows"`
	InternalInLake int64 `json:"internal_in_lake"`
	// ReadModelRows is how many bookings the read model has.
	ReadModelRows int64 `json:"read_model_rows"`
	// SSEUpdates is how many updates a page has seen. Nobody promises one for each event.
	SSEUpdates int64 `json:"sse_updates"`
	// Lost counts facts that are missing. Each booking must have four messages in the lake; a confirmation, a receipt, a print and a
	// notification; four entries in the log of the read model, with its show and n; and a row in the read model. Each refund must have a message,
	// a notification and an entry. Each that is not there counts once.
	Lost int64 `json:"lost"`
	// DuplicateEffects counts rows of confirmations, receipts, prints, notifications and the read model's log that should not be there: because
	// there is one already, or because they belong to no booking or refund.
	DuplicateEffects int64 `json:"duplicate_effects"`
	// OutOfOrder counts entries of the read model's log that come after one with a larger n of the same show and type. What is missing or
	// doubled is counted above, so with all three at zero the n of every show and type are exactly 1, 2, 3 and so on.
	OutOfOrder int64 `json:"out_of_order"`
	// DeadLetters is how many messages subscriptions gave up on, and OutboxLeft how many the relay has not published.
	DeadLetters int64 `json:"dead_letters"`
	OutboxLeft  int64 `json:"outbox_left"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// Problems says what is wrong, in words. There are none when nothing is lost, doubled, out of order or left over, and every count is exact.
func (s *Summary) Problems() []string {
	events := 4*s.Bookings + s.Refunds
	var problems []string
	for _, c := range []struct {
		name      string
		got, want int64
	}{
		{"lost", s.Lost, 0},
		{"duplicate_effects", s.DuplicateEffects, 0},
		{"out_of_order", s.OutOfOrder, 0},
		{"internal_in_lake", s.InternalInLake, 0},
		{"dead_letters", s.DeadLetters, 0},
		{"outbox_left", s.OutboxLeft, 0},
		{"public_events", s.PublicEvents, events},
		{"internal_events", s.InternalEvents, events},
		{"lake_rows", s.LakeRows, events},
		{"read_model_rows", s.ReadModelRows, s.Bookings},
	} {
		if c.got != c.want {
			problems = append(problems, fmt.Sprintf("%s is %d, and should be %d", c.name, c.got, c.want))
		}
	}
	return problems
}

// Report reads everything back. Ask when the platform has come to rest ([Platform.Quiet]); before, what is under way is counted as lost.
func (p *Platform) Report(ctx context.Context) (Summary, error) {
	s, err := p.report(ctx)
	if err != nil {
		return s, fmt.Errorf("tickets: report: %w", err)
	}
	return s, nil
}

func (p *Platform) report(ctx context.Context) (Summary, error) {
	var s Summary
	a := audit{db: p.db}
	s.Bookings = a.count(ctx, `bookings`)
	s.Refunds = a.count(ctx, `refunds`)
	s.LakeRows = a.count(ctx, `tidings_lake`)
	s.InternalInLake = a.count(ctx, `tidings_lake WHERE type NOT IN ($1, $2, $3, $4, $5)`, anys(publicTypes())...)
	s.ReadModelRows = a.count(ctx, `ops_bookings`)
	s.OutOfOrder = a.count(ctx, inversions)
	for _, l := range ledgers() {
		lost, surplus := a.compare(ctx, l)
		s.Lost += lost
		s.DuplicateEffects += surplus
	}
	if a.err != nil {
		return s, a.err
	}
	for _, topic := range []struct {
		event tidings.Definition
		into  *int64
	}{{Made.Definition(), &s.PublicEvents}, {ReadModelUpdated.Definition(), &s.InternalEvents}} {
		name, err := p.topology.PublishTopic(p.name, topic.event)
		if err != nil {
			return s, err
		}
		if *topic.into, err = countMessages(ctx, p.cfg.Broker, name); err != nil {
			return s, err
		}
	}
	var err error
	if s.DeadLetters, err = countRows(ctx, p.cfg.Store, store.Filter{States: []store.State{store.Dead}}); err != nil {
		return s, err
	}
	s.OutboxLeft, err = countRows(ctx, p.cfg.Store, store.Filter{Queues: []string{""}})
	return s, err
}

// countMessages reads a topic to its end and counts the different messages.
func countMessages(ctx context.Context, b broker.Broker, topic string) (int64, error) {
	type identity struct{ source, id string }
	seen := map[identity]struct{}{}
	err := readAll(ctx, b, topic, func(d *broker.Delivery) {
		source, _ := d.Header("ce-source")
		id, _ := d.Header("ce-id")
		seen[identity{source, id}] = struct{}{}
	})
	return int64(len(seen)), err
}

// readAll calls each for every record that a topic has, one at a time.
func readAll(ctx context.Context, b broker.Broker, topic string, each func(d *broker.Delivery)) error {
	var mu sync.Mutex
	var broken error
	reader := broker.Reader{Topics: []string{topic}, ToEnd: true}
	err := b.Consume(ctx, reader, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 1000, 4<<20)
			mu.Lock()
			for i := range deliveries {
				each(&deliveries[i])
			}
			if err != nil && !errors.Is(err, io.EOF) {
				broken = err
			}
			mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	if err = errors.Join(err, broken, ctx.Err()); err != nil {
		return fmt.Errorf("read topic %s: %w", topic, err)
	}
	return nil
}

func countRows(ctx context.Context, s store.Store, f store.Filter) (int64, error) {
	n := int64(0)
	for _, err := range s.List(ctx, f) {
		if err != nil {
			return n, fmt.Errorf("list rows: %w", err)
		}
		n++
	}
	return n, nil
}

func anys(list []string) []any {
	values := make([]any, len(list))
	for i, v := range list {
		values[i] = v
	}
	return values
}
