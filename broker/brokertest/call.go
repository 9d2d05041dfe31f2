package brokertest

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/tidings-go/tidings/broker"
)

// call is one call of Consume or Listen that runs.
type call struct {
	k      *kit
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // what the broker returned; valid once it ended
}

// consume runs Consume until the call is stopped or the scenario ends.
func (k *kit) consume(b broker.Broker, r broker.Reader, each func(context.Context, broker.Partition)) *call {
	k.Helper()
	ctx, cancel := context.WithCancel(k.Context())
	return k.start(cancel, func() error { return b.Consume(ctx, r, each) })
}

// start runs a blocking call of the broker in the background, until cancel or the scenario ends it.
func (k *kit) start(cancel context.CancelFunc, run func() error) *call {
	c := &call{k: k, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.err = run()
	}()
	k.Cleanup(func() {
		cancel()
		<-c.ended
	})
	return c
}

// stop ends the call's context and waits until it has returned, which must be without an error.
func (c *call) stop() {
	c.k.Helper()
	c.cancel()
	c.join()
	if c.err != nil {
		c.k.Errorf("a call returned an error when its context ended: %v", c.err)
	}
}

func (c *call) join() {
	c.k.Helper()
	select {
	case <-c.ended:
	case <-c.k.after(c.k.patience):
		c.k.Fatalf("a call did not return within %s", c.k.patience)
	}
}

// inbox collects what is delivered.
type inbox struct {
	mu         sync.Mutex // guards what follows
	deliveries []broker.Delivery
	lost       []error // why partitions ended without io.EOF
}

// consumeInto reads into box and settles all that it reads.
func (k *kit) consumeInto(box *inbox, b broker.Broker, r broker.Reader) *call {
	k.Helper()
	return k.consume(b, r, box.each)
}

func (x *inbox) each(ctx context.Context, p broker.Partition) {
	x.note(follow(ctx, p, x.add))
}

// follow settles after every fetch, once handle has seen it. It returns why the partition ended: io.EOF when it is to be given back.
func follow(ctx context.Context, p broker.Partition, handle func([]broker.Delivery)) error {
	for {
		deliveries, err := p.Fetch(ctx, 64, 1<<20)
		if err != nil {
			return err
		}
		handle(deliveries)
		if err := p.Settle(ctx, settlement(deliveries)); err != nil {
			return err
		}
	}
}

func (x *inbox) add(deliveries []broker.Delivery) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.deliveries = append(x.deliveries, deliveries...)
}

func (x *inbox) note(err error) {
	if errors.Is(err, io.EOF) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lost = append(x.lost, err)
}

func (x *inbox) all() []broker.Delivery {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]broker.Delivery(nil), x.deliveries...)
}

func (x *inbox) len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.deliveries)
}

// values are the values delivered, as strings, in order of arrival.
func (x *inbox) values() []string { return values(x.all()) }

func values(deliveries []broker.Delivery) []string {
	v := make([]string, len(deliveries))
	for i := range deliveries {
		v[i] = string(deliveries[i].Value)
	}
	return v
}

// settlement finishes all of the deliveries, which are the last that were fetched.
func settlement(deliveries []broker.Delivery) broker.Settlement {
	var s broker.Settlement
	for i := range deliveries {
		s.Done = append(s.Done, deliveries[i].Sequence)
		s.Next = deliveries[i].Sequence + 1
	}
	return s
}

// read fetches until it has n deliveries and settles none. It returns what it has when the partition ends.
func read(ctx context.Context, p broker.Partition, n int) ([]broker.Delivery, error) {
	var got []broker.Delivery
	for len(got) < n {
		deliveries, err := p.Fetch(ctx, n-len(got), 1<<20)
		if err != nil {
			return got, err
		}
		got = append(got, deliveries...)
	}
	return got, nil
}
