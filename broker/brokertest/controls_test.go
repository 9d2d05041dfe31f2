package brokertest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sound is a broker that keeps its promises; each wrapper below breaks one.
type sound = broker.Broker

// control is a scenario, a broker that breaks its promise, and what the scenario is to say about that.
type control struct {
	name     string
	scenario func(*kit)
	broken   func(tb testing.TB, b sound) broker.Broker
	want     string
	patience time.Duration // shorter, where the scenario waits in vain
	alone    bool          // It looks at the whole process.
}

func controls() []control {
	return []control{
		{name: "order within a key is turned round", scenario: orderPerKey, broken: plain(func(s sound) sound { return reversing{s} }), want: "out of order"},
		{name: "order within a key is turned round under load", scenario: replicasUnderLoad, broken: plain(func(s sound) sound { return reversing{s} }), want: "out of order"},
		{name: "records are acknowledged and dropped", scenario: orderPerKey, broken: plain(func(s sound) sound { return &dropping{sound: s} }), want: "lost"},
		{name: "records are acknowledged and dropped under load", scenario: replicasUnderLoad, broken: plain(func(s sound) sound { return &dropping{sound: s} }), want: "lost"},
		{name: "a partition has two owners", scenario: replicasUnderLoad, broken: plain(func(s sound) sound { return doubling{s} }), want: "while"},
		{name: "nothing that is settled is remembered", scenario: positionSurvives, broken: plain(func(s sound) sound { return partitions{s, forgetting} }), want: "expected records 4 to 6"},
		{name: "what is fetched counts as settled", scenario: unsettledComesAgain, broken: plain(func(s sound) sound { return partitions{s, eager} }), want: "the next owner was to get"},
		{name: "what is fetched counts as settled, and the replica dies", scenario: deadReplica, patience: 3 * time.Second, broken: plain(func(s sound) sound { return partitions{s, eager} }), want: "expected records 3 to 10"},
		{name: "a stale owner's settlement counts", scenario: staleSettlement, patience: 3 * time.Second, broken: unfenced(), want: "expected records 1 to 6"},
		{name: "done is called twice", scenario: receiptsAreTrue, broken: plain(func(s sound) sound { return stuttering{s} }), want: "called 2 times"},
		{name: "done is never called", scenario: receiptsAreTrue, patience: time.Second, broken: plain(func(s sound) sound { return silent{s} }), want: "done was not called"},
		{name: "header values are trimmed", scenario: headersSurvive, broken: plain(func(s sound) sound { return trimming{s} }), want: `header "x-spaces"`},
		{name: "live records are stored", scenario: liveIsNotDurable, broken: plain(func(s sound) sound { return storing{s} }), want: "11 durable records"},
		{name: "a question to nobody is not noticed", scenario: ask, broken: plain(func(s sound) sound { return deaf{s} }), want: "asked nobody"},
		{name: "a listener that ends drops what it was asked", scenario: askWhileListenersEnd, patience: time.Second, broken: plain(func(s sound) sound { return rude{s} }), want: "a question was not heard"},
		{name: "a limit is not respected", scenario: fetchLimits, broken: plain(func(s sound) sound { return partitions{s, greedy} }), want: "Fetch of at most 7"},
		{name: "Publish fails a bad record's neighbours", scenario: tooLarge, broken: plain(func(s sound) sound { return infecting{s} }), want: "neighbours of a bad record failed too"},
		{name: "a goroutine is left behind", scenario: leavesNothing, broken: leaking, want: "found unexpected goroutines", alone: true},
	}
}

func TestBrokenBrokersAreFound(t *testing.T) {
	for _, c := range controls() {
		t.Run(c.name, func(t *testing.T) {
			if !c.alone {
				t.Parallel()
			}
			server := memory.New(memory.Config{})
			defer server.Close()
			said := record(t, func(tb testing.TB) {
				tb.Helper()
				k := newKit(tb, Fixture{
					Open: func(tb testing.TB) (broker.Broker, func()) {
						tb.Helper()
						client := server.Connect()
						return c.broken(tb, client), func() { client.Close() }
					},
					MaxRecordBytes: 1 << 20,
				})
				k.patience, k.drain = cmp.Or(c.patience, k.patience), 2*time.Second
				c.scenario(k)
			})
			if !strings.Contains(said, c.want) {
				t.Errorf("the scenario was to say %q, and said %q", c.want, said)
			}
		})
	}
}

func plain(wrap func(sound) sound) func(testing.TB, sound) broker.Broker {
	return func(tb testing.TB, b sound) broker.Broker {
		tb.Helper()
		return wrap(b)
	}
}

type done = func(int, broker.Receipt, error)

// reversing stores the records of each call in the opposite order.
type reversing struct{ sound }

func (b reversing) Publish(ctx context.Context, records []broker.Record, done done) {
	turned := slices.Clone(records)
	slices.Reverse(turned)
	b.sound.Publish(ctx, turned, func(i int, r broker.Receipt, err error) { done(len(records)-1-i, r, err) })
}

// dropping stores all but one of a hundred records.
type dropping struct {
	sound
	count atomic.Int64
}

func (b *dropping) Publish(ctx context.Context, records []broker.Record, done done) {
	for i := range records {
		if b.count.Add(1)%100 == 0 {
			done(i, broker.Receipt{Topic: records[i].Topic, Sequence: 1}, nil)
			continue
		}
		b.sound.Publish(ctx, records[i:i+1], func(_ int, r broker.Receipt, err error) { done(i, r, err) })
	}
}

// doubling gives each partition to two calls of each.
type doubling struct{ sound }

func (b doubling) Consume(ctx context.Context, r broker.Reader, each func(context.Context, broker.Partition)) error {
	var second sync.WaitGroup
	defer second.Wait()
	second.Go(func() {
		other := r
		other.Group += "-other"
		_ = b.sound.Consume(ctx, other, each)
	})
	return b.sound.Consume(ctx, r, each)
}

// stuttering calls done twice for the last record, and silent not at all.
type stuttering struct{ sound }

func (b stuttering) Publish(ctx context.Context, records []broker.Record, done done) {
	b.sound.Publish(ctx, records, func(i int, r broker.Receipt, err error) {
		if i == len(records)-1 {
			done(i-1, r, err)
		}
		done(i, r, err)
	})
}

type silent struct{ sound }

func (b silent) Publish(ctx context.Context, records []broker.Record, done done) {
	b.sound.Publish(ctx, records, func(i int, r broker.Receipt, err error) {
		if i < len(records)-1 {
			done(i, r, err)
		}
	})
}

// trimming loses spaces round header values.
type trimming struct{ sound }

func (b trimming) Publish(ctx context.Context, records []broker.Record, done done) {
	records = slices.Clone(records)
	for i := range records {
		records[i].Headers = slices.Clone(records[i].Headers)
		for j := range records[i].Headers {
			records[i].Headers[j].Value = strings.TrimSpace(records[i].Headers[j].Value)
		}
	}
	b.sound.Publish(ctx, records, done)
}

// infecting fails all records of a call if one is bad.
type infecting struct{ sound }

func (b infecting) Publish(ctx context.Context, records []broker.Record, done done) {
	for i := range records {
		if len(records[i].Value) > 1<<20 {
			for j := range records {
				done(j, broker.Receipt{}, broker.ErrTooLarge)
			}
			return
		}
	}
	b.sound.Publish(ctx, records, done)
}

// deaf sends questions like any other live record.
type deaf struct{ sound }

func (d deaf) Live(ctx context.Context, records []broker.Record) error {
	if err := d.sound.Live(ctx, records); !errors.Is(err, broker.ErrNoListener) {
		return err
	}
	return nil
}

// rude drops the first record that each listener hears.
type rude struct{ sound }

func (r rude) Listen(ctx context.Context, l broker.Listener, each func(broker.Record)) error {
	dropped := false
	return r.sound.Listen(ctx, l, func(heard broker.Record) {
		if dropped {
			each(heard)
		}
		dropped = true
	})
}

// storing stores live records too.
type storing struct{ sound }

func (b storing) Live(ctx context.Context, records []broker.Record) error {
	b.Publish(ctx, slices.DeleteFunc(slices.Clone(records), func(r broker.Record) bool { return bytes.Equal(r.Value, probe) }),
		func(int, broker.Receipt, error) {})
	return b.sound.Live(ctx, records)
}

// leaking leaves a goroutine behind for each listener, until the scenario has ended.
func leaking(tb testing.TB, b sound) broker.Broker {
	tb.Helper()
	return leaky{sound: b, ended: tb.Context().Done()}
}

type leaky struct {
	sound
	ended <-chan struct{}
}

func (b leaky) Listen(ctx context.Context, l broker.Listener, each func(broker.Record)) error {
	go func() { <-b.ended }()
	return b.sound.Listen(ctx, l, each)
}

// partitions wraps each partition that is given.
type partitions struct {
	sound
	wrap func(broker.Partition) broker.Partition
}

func (b partitions) Consume(ctx context.Context, r broker.Reader, each func(context.Context, broker.Partition)) error {
	return b.sound.Consume(ctx, r, func(ctx context.Context, p broker.Partition) { each(ctx, b.wrap(p)) })
}

func forgetting(p broker.Partition) broker.Partition { return forgetful{p} }

type forgetful struct{ broker.Partition }

func (forgetful) Settle(context.Context, broker.Settlement) error { return nil }

func eager(p broker.Partition) broker.Partition { return hasty{p} }

type hasty struct{ broker.Partition }

func (p hasty) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	deliveries, err := p.Partition.Fetch(ctx, limit, maxBytes)
	if err == nil {
		err = p.Settle(ctx, settlement(deliveries))
	}
	return deliveries, err
}

func greedy(p broker.Partition) broker.Partition { return insatiable{p} }

type insatiable struct{ broker.Partition }

func (p insatiable) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	return p.Partition.Fetch(ctx, limit*10, maxBytes*10)
}

// unfenced remembers every settlement, whoever makes it, for all clients: what is below it is not delivered again.
func unfenced() func(testing.TB, sound) broker.Broker {
	position := new(atomic.Uint64)
	return plain(func(s sound) sound {
		return partitions{s, func(p broker.Partition) broker.Partition { return loose{p, position} }}
	})
}

type loose struct {
	broker.Partition
	position *atomic.Uint64
}

func (p loose) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	for {
		deliveries, err := p.Partition.Fetch(ctx, limit, maxBytes)
		deliveries = slices.DeleteFunc(deliveries, func(d broker.Delivery) bool { return d.Sequence < p.position.Load() })
		if err != nil || len(deliveries) > 0 {
			return deliveries, err
		}
	}
}

func (p loose) Settle(ctx context.Context, s broker.Settlement) error {
	p.position.Store(max(p.position.Load(), s.Next))
	_ = p.Partition.Settle(ctx, s)
	return nil
}
