package consume_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

// plan is a run of the model: what the messages do, and what happens to the partitions meanwhile.
type plan struct {
	Partitions, Concurrency, MaxMessages, BatchSize int
	Queue, Unordered, Block                         bool
	Breaker                                         int
	Messages                                        []planned
	Events                                          []event
}

type planned struct {
	Partition, Key int
	Gap            int
	Kind           string // "single", "batch" or "skip"
	Work           time.Duration
	Failures       []string // one for each attempt that fails
	End            string   // "ok", "discard", "dead" or "hopeless"
}

type event struct {
	After     time.Duration
	Partition int
	Kind      string // "lose", "revoke", "pause" or "resume"
}

func drawPlan(t *rapid.T) plan {
	p := plan{
		Partitions:  rapid.IntRange(1, 4).Draw(t, "partitions"),
		Concurrency: rapid.IntRange(1, 8).Draw(t, "concurrency"),
		MaxMessages: rapid.SampledFrom([]int{1, 40, 4096}).Draw(t, "max messages"),
		BatchSize:   rapid.IntRange(1, 6).Draw(t, "batch size"),
		Queue:       rapid.Bool().Draw(t, "queue"),
	}
	keys := rapid.IntRange(1, 6).Draw(t, "keys")
	ms := func(upTo int) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.IntRange(0, upTo), func(n int) time.Duration { return time.Duration(n) * time.Millisecond })
	}
	// Rapid prefers short slices, and the interesting things happen in long ones.
	messages := rapid.SampledFrom([]int{120, 40, 10, 2}).Draw(t, "how many messages")
	p.Messages = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) planned {
		key := rapid.IntRange(0, keys).Draw(t, "key")
		return planned{
			Key:       key,
			Partition: rapid.IntRange(0, p.Partitions-1).Draw(t, "partition"),
			Gap:       rapid.SampledFrom([]int{0, 0, 0, 1, 7}).Draw(t, "gap"),
			Kind:      rapid.SampledFrom([]string{"single", "single", "single", "batch", "batch", "skip"}).Draw(t, "kind"),
			Work:      ms(20).Draw(t, "work"),
			Failures:  rapid.SliceOfN(rapid.SampledFrom([]string{"error", "panic", "exit", "later"}), 0, 2).Draw(t, "failures"),
			End:       rapid.SampledFrom([]string{"ok", "ok", "ok", "ok", "discard", "dead", "hopeless"}).Draw(t, "end"),
		}
	}), messages, messages).Draw(t, "messages")
	p.Breaker = rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "breaker")
	for i := range p.Messages {
		if m := &p.Messages[i]; p.Breaker > 0 && (m.End == "hopeless" || m.End == "discard" && m.Kind == "batch") {
			m.End = "ok" // What only fails would be tried for ever once it is alone.
		}
	}
	p.Events = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
		return event{
			After:     ms(200).Draw(t, "after"),
			Partition: rapid.IntRange(0, p.Partitions-1).Draw(t, "partition"),
			Kind:      rapid.SampledFrom([]string{"lose", "revoke", "pause", "resume"}).Draw(t, "kind"),
		}
	}), 0, 10).Draw(t, "events")
	return p
}

// model runs a plan and keeps the books.
type model struct {
	plan  plan
	topic *topic

	mu      sync.Mutex
	byPlace map[place]*entry
	entries []*entry
	running int
	broken  []string
}

type place struct {
	partition int
	sequence  uint64
}

type entry struct {
	planned
	place
	tries   int // handlings that were not interrupted
	first   bool
	ended   bool
	running int
	batch   []*entry // that it was handled in
}

func (m *model) breaks(format string, args ...any) {
	m.broken = append(m.broken, fmt.Sprintf(format, args...))
}

// begin checks the promise at the moment that matters: when a handler sees a message, everything before it in its lane
// is finished, or is before it in the same batch, and nothing of the lane is with another handler.
func (m *model) begin(e *entry, batch []*entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.running++; e.running > 1 {
		m.breaks("%v is handled twice at once", e.place)
	}
	e.first = true
	e.batch = batch
	if e.Key == 0 {
		return
	}
	for _, other := range m.entries {
		if other == e || other.partition != e.partition || other.Key != e.Key || other.Kind == "skip" || slices.Contains(batch, other) {
			continue
		}
		if other.running > 0 {
			m.breaks("%v and %v of one key are handled at once", other.place, e.place)
		}
		if other.sequence < e.sequence && !other.ended {
			m.breaks("%v was handled before %v of the same key", e.place, other.place)
		}
	}
}

// verdict is what the handler of e answers this time.
func (m *model) verdict(e *entry) (answer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.tries++
	if e.tries <= len(e.Failures) {
		return e.Failures[e.tries-1]
	}
	return e.End
}

// leave ends a handling, after finish if the message is finished.
func (m *model) leave(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.running--
}

func (m *model) finish(e *entry) {
	m.mu.Lock()
	e.ended = true
	m.mu.Unlock()
	m.topic.tapes[e.partition].finish(e.sequence)
}

func (m *model) enter() func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running++; m.running > m.plan.Concurrency {
		m.breaks("%d handlers run at once", m.running)
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.running--
	}
}

func (m *model) find(d *broker.Delivery) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byPlace[place{d.Partition, d.Sequence}]
}

var errNo = errors.New("no")

func (m *model) handle(ctx context.Context, d *broker.Delivery) error {
	defer m.enter()()
	e := m.find(d)
	m.begin(e, nil)
	defer m.leave(e)
	if err := pause(ctx, e.Work); err != nil {
		return err
	}
	switch m.verdict(e) {
	case "ok":
		m.finish(e)
		return nil
	case "discard":
		m.finish(e)
		return consume.Discard(errNo)
	case "dead":
		return consume.DeadLetter(errNo)
	case "later":
		return fmt.Errorf("wrapped: %w", consume.RetryAfter(30*time.Millisecond, errNo))
	case "panic":
		panic("handler")
	case "exit":
		runtime.Goexit()
	}
	return errNo
}

// handleBatch answers every second item by itself and leaves the rest to its error.
func (m *model) handleBatch(ctx context.Context, items []*consume.Item) error {
	defer m.enter()()
	var batch []*entry
	for _, i := range items {
		batch = append(batch, m.find(i.Delivery))
	}
	open, refused := map[*entry]bool{}, map[*entry]bool{}
	for _, e := range batch {
		m.begin(e, batch)
		open[e] = true
	}
	defer func() {
		for e := range open {
			m.leave(e)
		}
	}()
	var last string
	for n, i := range items {
		e := batch[n]
		if err := pause(ctx, e.Work); err != nil {
			return err
		}
		if n%2 == 1 {
			continue
		}
		last = m.verdict(e)
		switch last {
		case "ok":
			delete(open, e)
			m.finish(e)
			m.leave(e)
			i.Ack()
		case "dead":
			refused[e] = true
			i.Term(errNo)
		default:
			refused[e] = true
			i.Nak(10 * time.Millisecond)
		}
	}
	switch last {
	case "panic":
		panic("batch")
	case "exit":
		runtime.Goexit()
	case "error":
		return errNo
	}
	for e := range open {
		if !refused[e] {
			m.finish(e)
		}
	}
	return nil
}

func (m *model) bury(ctx context.Context, dead *consume.Dead) error {
	e := m.find(dead.Delivery)
	m.begin(e, e.batch) // Others of its batch may have failed too, and be tried again.
	defer m.leave(e)
	if err := pause(ctx, time.Millisecond); err != nil {
		return err
	}
	m.mu.Lock()
	e.tries++
	away := e.tries%3 == 0
	m.mu.Unlock()
	if away {
		return errors.New("the store is away")
	}
	m.finish(e)
	return nil
}

// run plays the plan and returns what went wrong.
func (m *model) run() []string {
	p := m.plan
	m.topic, m.byPlace = newTopic(p.Partitions), map[place]*entry{}
	m.topic.queue = p.Queue
	for _, x := range p.Messages {
		key := ""
		if x.Key > 0 {
			key = fmt.Sprint(x.Key)
		}
		tape := m.topic.tapes[x.Partition]
		e := &entry{planned: x, place: place{x.Partition, tape.append(key, x.Kind, uint64(x.Gap))}}
		m.entries = append(m.entries, e)
		m.byPlace[e.place] = e
		if x.Kind == "skip" {
			tape.finish(e.sequence)
		}
	}
	single := &consume.Reaction{Name: "single", Handle: m.handle}
	batch := &consume.Reaction{Name: "batch", Batch: &consume.Batch{Size: p.BatchSize, Wait: 20 * time.Millisecond, Handle: m.handleBatch}}
	c := consume.New(consume.Config{
		Group: "g", Concurrency: p.Concurrency, MaxMessages: p.MaxMessages, Unordered: p.Unordered,
		Retry:   consume.Retry{Attempts: 4, Min: time.Millisecond, Max: 50 * time.Millisecond},
		Breaker: consume.Breaker{Failures: p.Breaker, Wait: 20 * time.Millisecond},
		Log:     slog.New(slog.DiscardHandler),
		Route: func(d *broker.Delivery) *consume.Reaction {
			return map[string]*consume.Reaction{"single": single, "batch": batch}[string(d.Value)]
		},
		DeadLetter: m.bury,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, m.topic.source) }()
	m.play(ctx, c)
	deadline := time.Now().Add(time.Hour)
	for !m.settled() && time.Now().Before(deadline) {
		_ = pause(ctx, time.Second)
	}
	m.checkEnd(c.Stats())
	cancel()
	if err := <-done; err != nil {
		m.breaks("Run: %v", err)
	}
	broken := m.broken
	for _, t := range m.topic.tapes {
		broken = append(broken, t.broken...)
	}
	return broken
}

func (m *model) play(ctx context.Context, c *consume.Consumer) {
	for _, e := range m.plan.Events {
		_ = pause(ctx, e.After)
		switch e.Kind {
		case "lose":
			m.topic.tapes[e.Partition].lose()
		case "revoke":
			m.topic.tapes[e.Partition].revoke()
		case "pause":
			c.Pause()
		case "resume":
			c.Resume()
		}
	}
	c.Resume()
}

func (m *model) settled() bool {
	for _, t := range m.topic.tapes {
		if !t.allSettled() {
			return false
		}
	}
	return true
}

func (m *model) checkEnd(s consume.Stats) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		if e.Kind != "skip" && (!e.first || !e.ended) {
			m.breaks("%v was never finished", e.place)
		}
	}
	if s.InFlight != 0 || s.Bytes != 0 || s.Running != 0 || s.Retrying != 0 {
		m.breaks("something is left: %+v", s)
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var broken []string
		synctest.Test(t, func(*testing.T) { broken = (&model{plan: p}).run() })
		if len(broken) > 0 {
			rt.Fatalf("%d violations, the first: %s", len(broken), broken[0])
		}
	})
}

// TestModelSeesDisorder is the negative control: without lanes the same books must not balance.
func TestModelSeesDisorder(t *testing.T) {
	p := plan{Partitions: 1, Concurrency: 4, BatchSize: 1, Unordered: true}
	for i := range 8 {
		p.Messages = append(p.Messages, planned{Key: 1, Kind: "single", Work: time.Duration(10-i) * time.Millisecond, End: "ok"})
	}
	synctest.Test(t, func(t *testing.T) {
		if len((&model{plan: p}).run()) == 0 {
			t.Error("handling one key's messages all at once went unnoticed")
		}
	})
	p.Unordered = false
	synctest.Test(t, func(t *testing.T) {
		if broken := (&model{plan: p}).run(); len(broken) > 0 {
			t.Errorf("with lanes: %s", broken[0])
		}
	})
}
