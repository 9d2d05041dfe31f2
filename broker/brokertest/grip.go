package brokertest

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// grabber is a call of Consume whose partitions the scenario handles itself, step by step.
type grabber struct {
	*call
	grips chan *grip
}

// grip is a partition in the scenario's hands until it is given back.
type grip struct {
	k    *kit
	ctx  context.Context //nolint:containedctx // It is what the scenario is to observe.
	p    broker.Partition
	back chan struct{}
}

// grab runs Consume and hands out the partitions that it is given. A partition must be given back before the call is stopped.
func (k *kit) grab(b broker.Broker, r broker.Reader) *grabber {
	k.Helper()
	grips := make(chan *grip)
	ctx, cancel := context.WithCancel(k.Context())
	each := func(held context.Context, p broker.Partition) {
		g := &grip{k: k, ctx: held, p: p, back: make(chan struct{})}
		select {
		case grips <- g:
		case <-ctx.Done():
			return
		case <-held.Done():
			return
		}
		select {
		case <-g.back:
		case <-k.Context().Done():
		}
	}
	return &grabber{call: k.start(cancel, func() error { return b.Consume(ctx, r, each) }), grips: grips}
}

// next is the next partition that Consume gives.
func (g *grabber) next() *grip {
	g.k.Helper()
	return g.nextWithin(g.k.patience)
}

func (g *grabber) nextWithin(limit time.Duration) *grip {
	g.k.Helper()
	select {
	case grip := <-g.grips:
		return grip
	case <-g.ended:
		g.k.Fatalf("Consume returned before it gave a partition: %v", g.err)
	case <-g.k.after(limit):
		g.k.Fatalf("no partition was given within %s", limit)
	}
	return nil
}

// read fetches n deliveries and settles none.
func (g *grip) read(n int) []broker.Delivery {
	g.k.Helper()
	ctx, cancel := context.WithTimeout(g.ctx, g.k.patience)
	defer cancel()
	got, err := read(ctx, g.p, n)
	if err != nil {
		g.k.Fatalf("fetch: %v, after %d of %d records", err, len(got), n)
	}
	return got
}

// expect fetches the records from to to that sequence published, and settles none.
func (g *grip) expect(from, to int) []broker.Delivery {
	g.k.Helper()
	ctx, cancel := context.WithTimeout(g.ctx, g.k.patience)
	defer cancel()
	var want []string
	for i := from; i <= to; i++ {
		want = append(want, strconv.Itoa(i))
	}
	got, err := read(ctx, g.p, len(want))
	if !slices.Equal(values(got), want) {
		g.k.Fatalf("expected records %d to %d, got %q (%v)", from, to, values(got), err)
	}
	return got
}

// settle finishes all of the deliveries, which must be the first that are unsettled.
func (g *grip) settle(deliveries []broker.Delivery) {
	g.k.Helper()
	if err := g.p.Settle(g.ctx, settlement(deliveries)); err != nil {
		g.k.Fatalf("settle %d records: %v", len(deliveries), err)
	}
}

// giveBack returns from the function that was given the partition.
func (g *grip) giveBack() { close(g.back) }
