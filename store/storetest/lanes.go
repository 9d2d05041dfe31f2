package storetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

func laneScenarios() []scenario {
	return []scenario{
		on("lanes/all rows once and in order", rowsInOrder),
		on("lanes/limits hold", limitsHold),
		on("lanes/only what was settled is deleted", onlySettledIsDeleted),
		on("lanes/what was not settled is offered again", unsettledComesAgain),
		on("lanes/queues are apart", queuesAreApart),
		on("lanes/a lane has one owner, and hands over what is left", oneOwner),
		on("lanes/the end of Lanes is io.EOF and leaves time to settle", endIsEOF),
		on("lanes/Fetch ends with its own context", fetchEnds),
		on("lanes/a commit wakes the reader", commitWakes),
		on("lanes/a commit of another replica wakes the reader", otherCommitWakes),
		on("lanes/ids are never used again", idsAreNotReused),
	}
}

func rowsInOrder(b *bench) {
	var want []string
	for i := range 50 {
		want = append(want, strconv.Itoa(i))
	}
	b.append(rows(want...)...)
	b.wantTaken(b.take("", 50, all), want...)
	b.wantValues()
}

func limitsHold(b *bench) {
	big := string(make([]byte, 1000))
	b.append(rows(big, big, big, big, big, big)...)
	b.lane(func(ctx context.Context, p broker.Partition) {
		for _, f := range []struct{ limit, maxBytes, want int }{{2, 1 << 20, 2}, {10, 1, 1}, {10, 1500, 2}, {10, 1 << 20, 1}} {
			deliveries, err := p.Fetch(ctx, f.limit, f.maxBytes)
			if err != nil || len(deliveries) != f.want {
				b.Errorf("Fetch(%d, %d) returned %d rows and the error %v, want %d rows", f.limit, f.maxBytes, len(deliveries), err, f.want)
			}
		}
	})
}

// lane calls use with the lane of the outbox that holds the key "k", once, on the caller's goroutine, so that use may end the test. use must fetch: other
// lanes of a store that has several only wait.
func (b *bench) lane(use func(ctx context.Context, p broker.Partition)) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	offered := make(chan func(), 1)
	used := make(chan struct{})
	var failed error
	var lanes sync.WaitGroup
	lanes.Go(func() {
		failed = b.s.Lanes(ctx, "", func(lane context.Context, p broker.Partition) {
			first, err := p.Fetch(lane, 1, 1)
			if err != nil {
				return
			}
			select {
			case offered <- func() { use(lane, &ahead{p, first}) }:
				<-used
			case <-ctx.Done():
			}
		})
		cancel()
	})
	defer lanes.Wait()
	defer cancel()
	defer close(used)
	select {
	case call := <-offered:
		call()
	case <-ctx.Done():
		lanes.Wait()
		b.Fatalf("the outbox offered nothing: %v", failed)
	}
}

// ahead is a partition of which the first delivery was already fetched.
type ahead struct {
	broker.Partition
	first []broker.Delivery
}

// Fetch returns what was fetched ahead along with what fits behind it.
func (a *ahead) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	first := a.first
	a.first = nil
	size := 0
	for i := range first {
		size += first[i].Size()
	}
	if len(first) == 0 || limit <= len(first) || maxBytes <= size {
		if len(first) > 0 {
			return first, nil
		}
		return a.Partition.Fetch(ctx, limit, maxBytes)
	}
	more, err := a.Partition.Fetch(ctx, limit-len(first), maxBytes-size)
	return append(first, more...), err
}

func onlySettledIsDeleted(b *bench) {
	b.append(rows("1", "2", "3", "4", "5", "6")...)
	odd := func(d broker.Delivery) bool { return string(d.Value) != "2" && string(d.Value) != "5" }
	b.take("", 6, odd)
	b.wantValues("2", "5")
}

func unsettledComesAgain(b *bench) {
	b.append(rows("1", "2", "3")...)
	b.wantTaken(b.take("", 3, none), "1", "2", "3")
	b.wantTaken(b.take("", 3, func(d broker.Delivery) bool { return string(d.Value) == "2" }), "1", "2", "3")
	b.wantTaken(b.take("", 2, all), "1", "3")

	b.append(rows("4", "5")...)
	b.fetchAgain()
}

// fetchAgain checks that a lane that was given back while Lanes goes on is offered again, from its oldest row on.
func (b *bench) fetchAgain() {
	b.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var offered [][]broker.Delivery // By one lane, so by one goroutine at a time.
	b.must(b.s.Lanes(ctx, "", func(lane context.Context, p broker.Partition) {
		var deliveries []broker.Delivery
		for len(deliveries) < 2 { // Fetch may return fewer rows than there are.
			more, err := p.Fetch(lane, 2-len(deliveries), 1<<20)
			if err != nil {
				return
			}
			deliveries = append(deliveries, more...)
		}
		if offered = append(offered, deliveries); len(offered) == 3 {
			cancel()
		}
	}))
	if len(offered) < 3 {
		b.Errorf("the lane was offered %d times, want 3", len(offered))
	}
	for _, deliveries := range offered {
		b.wantTaken(deliveries, "4", "5")
	}
}

func queuesAreApart(b *bench) {
	mine := row("k", "mine")
	mine.Queue = "shop.mailer"
	b.append(row("k", "outbox"), mine, row("k", "outbox 2"))
	b.wantTaken(b.take("shop.mailer", 1, all), "mine")
	b.wantTaken(b.take("", 2, all), "outbox", "outbox 2")
}

// oneOwner lets two replicas want one queue. Each reads a while, stops, and goes on after the other.
func oneOwner(b *bench) {
	const total = 60
	want := make([]string, total)
	for i := range want {
		want[i] = strconv.Itoa(i)
		b.append(row("k", want[i]))
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	r := &relayRace{bench: b, total: total, done: cancel}
	var replicas sync.WaitGroup
	for _, replica := range []*bench{b, b.replica()} {
		replicas.Go(func() {
			if err := replica.s.Lanes(ctx, "", r.run); err != nil {
				b.Errorf("lanes: %v", err)
			}
		})
	}
	replicas.Wait()
	if !slices.Equal(r.got, want) {
		b.Fatalf("the replicas read %q: not each row once and in order", r.got)
	}
	b.wantValues()
}

// relayRace is what the replicas of oneOwner share.
type relayRace struct {
	*bench
	total int
	done  func()

	mu      sync.Mutex
	got     []string
	reading int // how many read rows of the one key right now
}

// run reads some rows and gives the lane back.
func (r *relayRace) run(lane context.Context, p broker.Partition) {
	for range 10 {
		deliveries, err := p.Fetch(lane, 2, 1<<20)
		if err != nil {
			return
		}
		r.note(1, deliveries)
		if err := p.Settle(lane, broker.Settlement{Done: chosen(deliveries, all)}); err != nil {
			r.Errorf("settle: %v", err)
		}
		r.note(-1, nil)
	}
}

func (r *relayRace) note(reading int, deliveries []broker.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading += reading
	if r.reading > 1 {
		r.Errorf("two replicas own the lane")
	}
	r.got = append(r.got, valuesTaken(deliveries)...)
	if r.reading == 0 && len(r.got) >= r.total {
		r.done()
	}
}

func endIsEOF(b *bench) {
	b.append(rows("1", "2")...)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	b.must(b.s.Lanes(ctx, "", func(lane context.Context, p broker.Partition) {
		deliveries, err := p.Fetch(lane, 1, 1<<20)
		if errors.Is(err, io.EOF) {
			return // Another lane than that of "k".
		}
		cancel()
		if err != nil {
			b.Errorf("fetch: %v", err)
			return
		}
		if _, err := p.Fetch(lane, 1, 1<<20); !errors.Is(err, io.EOF) {
			b.Errorf("Fetch returned %v after the end of Lanes' context, want io.EOF", err)
		}
		if lane.Err() != nil {
			b.Errorf("the lane's context ended with that of Lanes")
		}
		if err := p.Settle(lane, broker.Settlement{Done: chosen(deliveries, all)}); err != nil {
			b.Errorf("settle: %v", err)
		}
	}))
	b.wantValues("2")

	b.must(b.s.Lanes(ctx, "", func(context.Context, broker.Partition) { b.Errorf("a lane was offered although the context had ended") }))
}

func fetchEnds(b *bench) {
	b.append(row("k", "1"))
	b.lane(func(ctx context.Context, p broker.Partition) {
		if _, err := p.Fetch(ctx, 1, 1); err != nil {
			b.Errorf("fetch: %v", err)
		}
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if _, err := p.Fetch(ctx, 1, 1); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("Fetch returned %v at its deadline, want context.DeadlineExceeded", err)
		}
	})
}

func commitWakes(b *bench)      { b.wakes(b, 100*time.Millisecond) }
func otherCommitWakes(b *bench) { b.wakes(b.replica(), 300*time.Millisecond) }

// wakes measures how long it takes from a commit by another goroutine until an idle reader has the row. The median counts: the machine may be busy.
func (b *bench) wakes(committer *bench, limit time.Duration) {
	b.Helper()
	b.append(row("k", "0"))
	var took []time.Duration
	b.lane(func(ctx context.Context, p broker.Partition) {
		for i := range 10 {
			if _, err := p.Fetch(ctx, 1, 1<<20); err != nil {
				b.Errorf("fetch: %v", err)
				return
			}
			var committing sync.WaitGroup
			var committed time.Time
			committing.Go(func() {
				<-time.After(10 * time.Millisecond) // The reader is waiting by now.
				err := committer.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
					return tx.StoreTx().Append(ctx, row("k", strconv.Itoa(i+1)))
				})
				if err != nil {
					b.Errorf("commit: %v", err)
				}
				committed = time.Now()
			})
			deliveries, err := p.Fetch(ctx, 1, 1<<20)
			received := time.Now()
			committing.Wait()
			if err != nil {
				b.Errorf("fetch: %v", err)
				return
			}
			took = append(took, received.Sub(committed))
			b.wantTaken(deliveries, strconv.Itoa(i+1))
			committer.append(row("k", "next"))
		}
	})
	slices.Sort(took)
	if len(took) == 0 || took[len(took)/2] > limit {
		b.Errorf("an idle reader had the rows after %v, want less than %v", took, limit)
	}
}

func idsAreNotReused(b *bench) {
	var last int64
	for range 5 {
		b.append(row("k", "x"))
		rows := b.list(store.Filter{})
		if len(rows) != 1 || rows[0].ID <= last {
			b.Fatalf("the rows %v came after id %d", rows, last)
		}
		last = rows[0].ID
		b.take("", 1, all)
	}
}
