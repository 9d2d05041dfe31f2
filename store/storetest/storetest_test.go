package storetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/memory"
)

// The suite must find these stores out. Each breaks one promise of a good store.
func TestTheSuiteBites(t *testing.T) {
	for _, c := range []struct {
		name     string
		spoil    func(*spoilt)
		scenario string
	}{
		{"none", func(*spoilt) {}, ""},
		{"rows are appended outside of the transaction", func(s *spoilt) { s.appendsApart = true }, "tx/an error rolls everything back"},
		{"rows are appended outside of the transaction", func(s *spoilt) { s.appendsApart = true }, "tx/a panic rolls everything back and goes on"},
		{"rows are appended outside of the transaction", func(s *spoilt) { s.appendsApart = true }, "tx/the end of the context rolls everything back"},
		{"rows are appended outside of the transaction", func(s *spoilt) { s.appendsApart = true }, "tx/failing neighbours take nothing with them"},
		{"rows are offered in the wrong order", func(s *spoilt) { s.reverses = true }, "lanes/all rows once and in order"},
		{"rows are offered in the wrong order", func(s *spoilt) { s.reverses = true }, "order/per key it is that of the commits"},
		{"everything fetched is deleted", func(s *spoilt) { s.settlesAll = true }, "lanes/only what was settled is deleted"},
		{"nothing is deleted", func(s *spoilt) { s.settlesNothing = true }, "lanes/only what was settled is deleted"},
		{"every claim is the first", func(s *spoilt) { s.claimsAgain = true }, "claim/first, then again"},
		{"every claim is the first", func(s *spoilt) { s.claimsAgain = true }, "claim/at the same time"},
		{"what is held may be there twice", func(s *spoilt) { s.holdsAgain = true }, "held/a row can begin as held, once"},
		{"a finished transaction says nothing", func(s *spoilt) { s.silent = true }, "tx/a finished transaction refuses everything"},
	} {
		t.Run(c.name+"/"+c.scenario, func(t *testing.T) {
			for _, scenario := range scenarios() {
				s := &spoilt{Store: memory.New()}
				c.spoil(s)
				if c.scenario == "" || c.scenario == scenario.name {
					complaints := try(t, scenario, s)
					if bad := len(complaints) > 0; bad != (c.scenario != "") {
						t.Errorf("%s: the suite complains %q", scenario.name, complaints)
					}
				}
			}
		})
	}
}

// try runs a scenario and returns what it complained of.
func try(t *testing.T, s scenario, over store.Store) []string {
	t.Helper()
	r := &recorder{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.run(r, Fixture{Open: func(testing.TB) store.Store { return over }, Next: nextInClaims})
	}()
	<-ended
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.complaints
}

func nextInClaims(ctx context.Context, native store.Native, key string) (int, error) {
	tx := native.StoreTx()
	if p, ok := tx.(*spoiltPart); ok {
		tx = p.Tx
	}
	_, saved, err := tx.Claim(ctx, "counters", key)
	if err != nil {
		return 0, err
	}
	n, _ := strconv.Atoi(string(saved))
	n++
	return n, tx.Save(ctx, "counters", key, fmt.Append(nil, n))
}

// recorder keeps complaints instead of failing the test.
type recorder struct {
	testing.TB
	mu         sync.Mutex
	complaints []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complaints = append(r.complaints, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// spoilt is a store that breaks its promises.
type spoilt struct {
	*memory.Store
	appendsApart, reverses, settlesAll, settlesNothing, claimsAgain, holdsAgain, silent bool
}

type spoiltTx struct{ part *spoiltPart }

func (t *spoiltTx) StoreTx() store.Tx {
	if t == nil {
		return nil
	}
	return t.part
}

type spoiltPart struct {
	store.Tx
	s     *spoilt
	apart []store.Row
}

func (s *spoilt) Native() store.Native { return (*spoiltTx)(nil) }

func (s *spoilt) InTx(ctx context.Context, fn func(context.Context, store.Native) error) error {
	var p *spoiltPart
	defer func() {
		if p != nil && len(p.apart) > 0 {
			_ = s.Store.InTx(context.WithoutCancel(ctx), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, p.apart...) })
		}
	}()
	return s.Store.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		p = &spoiltPart{Tx: tx.StoreTx(), s: s}
		return fn(ctx, &spoiltTx{p})
	})
}

func (p *spoiltPart) Append(ctx context.Context, rows ...store.Row) error {
	if p.s.appendsApart {
		p.apart = append(p.apart, rows...)
		return nil
	}
	for i := range rows {
		if p.s.holdsAgain && rows[i].State == store.Held {
			rows[i].MessageID += " " + string(rows[i].Record.Value)
		}
	}
	if err := p.Tx.Append(ctx, rows...); !p.s.silent {
		return err
	}
	return nil
}

func (p *spoiltPart) Claim(ctx context.Context, space, id string) (bool, []byte, error) {
	first, saved, err := p.Tx.Claim(ctx, space, id)
	return first || p.s.claimsAgain, saved, err
}

func (s *spoilt) Lanes(ctx context.Context, queue string, each func(context.Context, broker.Partition)) error {
	return s.Store.Lanes(ctx, queue, func(ctx context.Context, p broker.Partition) { each(ctx, &spoiltLane{Partition: p, s: s}) })
}

type spoiltLane struct {
	broker.Partition
	s   *spoilt
	all []uint64
}

func (l *spoiltLane) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	deliveries, err := l.Partition.Fetch(ctx, limit, maxBytes)
	for _, d := range deliveries {
		l.all = append(l.all, d.Sequence)
	}
	if l.s.reverses {
		slices.Reverse(deliveries)
	}
	return deliveries, err
}

func (l *spoiltLane) Settle(ctx context.Context, s broker.Settlement) error {
	switch {
	case l.s.settlesAll:
		s.Done = l.all
	case l.s.settlesNothing:
		s.Done = nil
	}
	return l.Partition.Settle(ctx, s)
}
