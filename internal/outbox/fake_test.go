package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

var (
	errDown = errors.New("the broker is down")
	errLost = errors.New("the answer was lost")
)

// fakeBroker keeps what the port promises of Publish and is as nasty as it allows: it answers late and in any order, loses answers, fails
// in the middle of a call, and refuses some records for good.
type fakeBroker struct {
	broker.Broker // nothing but Publish is there
	fate          func() fate
	delay         func() time.Duration
	forgets       bool // breaks its promise: acknowledges some records and does not have them
	mended        bool // refuses nothing for good any more
	overtakes     bool // breaks its promise: stores what follows a failed record of its key

	mu     sync.Mutex
	random *rand.Rand
	log    []broker.Record // as stored, in order
	acked  map[string]bool // by value
	calls  int
	busy   int // calls under way
	most   int
	asked  []time.Time
}

// fate is what happens to a record.
type fate int

const (
	stored fate = iota
	lostAnswer
	down
)

// What is sent to this topic, or has a value that ends like this, is refused for good.
const (
	poisonTopic = "poison"
	poisonMark  = "!"
)

func newFake(seed uint64) *fakeBroker {
	b := &fakeBroker{acked: map[string]bool{}, random: rand.New(rand.NewPCG(seed, seed))}
	b.heal()
	return b
}

func (b *fakeBroker) heal() {
	b.fate = func() fate { return stored }
	b.delay = func() time.Duration { return time.Millisecond }
}

func (b *fakeBroker) Publish(_ context.Context, records []broker.Record, done func(int, broker.Receipt, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	b.busy++
	b.most = max(b.most, b.busy)
	b.asked = append(b.asked, time.Now())
	outcomes := b.decide(records)
	delay := b.delay()
	order := b.random.Perm(len(records))
	go func() {
		<-time.After(delay)
		b.mu.Lock()
		for i, err := range outcomes {
			if (err == nil && (!b.forgets || i > 0)) || errors.Is(err, errLost) {
				b.log = append(b.log, records[i])
			}
		}
		for i, err := range outcomes {
			if err == nil {
				b.acked[string(records[i].Value)] = true
			}
		}
		b.busy--
		b.mu.Unlock()
		for _, i := range order {
			done(i, broker.Receipt{}, outcomes[i])
		}
	}()
}

// decide gives each record its fate. What follows a failed record of its key fails too: it must not be stored before it.
func (b *fakeBroker) decide(records []broker.Record) []error {
	outcomes := make([]error, len(records))
	failed := map[string]bool{}
	for i, r := range records {
		switch {
		case failed[r.Key]:
			outcomes[i] = errDown
		case !b.mended && (r.Topic == poisonTopic || strings.HasSuffix(string(r.Value), poisonMark)):
			outcomes[i] = fmt.Errorf("fake: %w", broker.ErrTooLarge)
		default:
			switch b.fate() {
			case lostAnswer:
				outcomes[i] = errLost
			case down:
				outcomes[i] = errDown
				failed[r.Key] = !b.overtakes
			case stored:
			}
		}
	}
	return outcomes
}

func (b *fakeBroker) wasAcked(value string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked[value]
}

func (b *fakeBroker) records() []broker.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]broker.Record(nil), b.log...)
}

// spyStore reports every row that is settled, before it is.
type spyStore struct {
	store.Store
	settled func(value string)
	settles func() error
}

func (s *spyStore) Lanes(ctx context.Context, queue string, each func(context.Context, broker.Partition)) error {
	return s.Store.Lanes(ctx, queue, func(ctx context.Context, p broker.Partition) {
		each(ctx, &spyLane{Partition: p, spy: s, values: map[uint64]string{}})
	})
}

type spyLane struct {
	broker.Partition
	spy    *spyStore
	mu     sync.Mutex
	values map[uint64]string
}

func (l *spyLane) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	deliveries, err := l.Partition.Fetch(ctx, limit, maxBytes)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range deliveries {
		l.values[d.Sequence] = string(d.Value)
	}
	return deliveries, err
}

func (l *spyLane) Settle(ctx context.Context, s broker.Settlement) error {
	if l.spy.settles != nil {
		if err := l.spy.settles(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	for _, sequence := range s.Done {
		l.spy.settled(l.values[sequence])
	}
	l.mu.Unlock()
	return l.Partition.Settle(ctx, s)
}
