//go:build unix

package nats_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/internal/testenv"
)

// held is a partition in the hands of a test.
type held struct {
	broker.Partition
	ctx     context.Context
	release func()
}

// replica consumes and hands its partitions to the test one by one.
type replica struct {
	t      testing.TB
	holds  chan held
	cancel context.CancelFunc
	done   chan error
}

func consume(tb testing.TB, b broker.Broker, r broker.Reader) *replica {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	c := &replica{t: tb, holds: make(chan held), cancel: cancel, done: make(chan error, 1)}
	go func() {
		c.done <- b.Consume(ctx, r, func(pctx context.Context, p broker.Partition) {
			released := make(chan struct{})
			select {
			case c.holds <- held{Partition: p, ctx: pctx, release: sync.OnceFunc(func() { close(released) })}:
			case <-ctx.Done():
				return
			}
			<-released
		})
	}()
	return c
}

func (c *replica) next() held {
	c.t.Helper()
	select {
	case h := <-c.holds:
		return h
	case err := <-c.done:
		c.t.Fatalf("Consume returned: %v", err)
	case <-time.After(30 * time.Second):
		c.t.Fatal("no partition within 30 s")
	}
	return held{}
}

func (c *replica) stop() {
	c.t.Helper()
	c.cancel()
	if err := <-c.done; err != nil {
		c.t.Error(err)
	}
}

// read fetches n values.
func (h held) read(tb testing.TB, n int) []broker.Delivery {
	tb.Helper()
	ctx, cancel := context.WithTimeout(h.ctx, 30*time.Second)
	defer cancel()
	var got []broker.Delivery
	for len(got) < n {
		deliveries, err := h.Fetch(ctx, n-len(got), 1<<20)
		if err != nil {
			tb.Fatalf("fetch after %d of %d: %v", len(got), n, err)
		}
		got = append(got, deliveries...)
	}
	return got
}

func values(deliveries []broker.Delivery) (values []string) {
	for _, d := range deliveries {
		values = append(values, string(d.Value))
	}
	return values
}

// consumers are the names of the consumers of topic t and their positions.
func consumers(tb testing.TB, js jetstream.JetStream) map[string]uint64 {
	tb.Helper()
	stream, err := js.Stream(tb.Context(), "tidings_t")
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]uint64{}
	lister := stream.ListConsumers(tb.Context())
	for info := range lister.Info() {
		all[info.Name] = info.AckFloor.Stream
	}
	if lister.Err() != nil {
		tb.Fatal(lister.Err())
	}
	return all
}

func wantConsumers(tb testing.TB, js jetstream.JetStream, want map[string]uint64) {
	tb.Helper()
	testenv.Eventually(tb, 10*time.Second, func() error {
		if got := consumers(tb, js); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("the consumers are %v, want %v", got, want)
		}
		return nil
	})
}

// What this package believes of JetStream's positions.
func TestPositionsOfJetStreamAreWhatTheyMustBe(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	js := raw(t, s)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "s", Subjects: []string{"s.*"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err = js.Publish(t.Context(), fmt.Sprint("s.", i%2), nil); err != nil { // odd sequences are in s.0, even ones in s.1
			t.Fatal(err)
		}
	}
	consumer := func(name string, cfg jetstream.ConsumerConfig) jetstream.Consumer {
		cfg.Durable, cfg.AckPolicy, cfg.FilterSubject = name, jetstream.AckAllPolicy, "s.0"
		c, createErr := stream.CreateConsumer(t.Context(), cfg)
		if createErr != nil {
			t.Fatal(createErr)
		}
		return c
	}
	floor := func(c jetstream.Consumer) uint64 {
		info, infoErr := c.Info(t.Context())
		if infoErr != nil {
			t.Fatal(infoErr)
		}
		return info.AckFloor.Stream
	}
	hour := time.Now().Add(time.Hour)
	for name, test := range map[string]struct {
		cfg  jetstream.ConsumerConfig
		want uint64
	}{
		"all":         {jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}, 0},
		"start":       {jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 8}, 7},
		"end":         {jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 21}, 20},
		"time-passed": {jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &time.Time{}}, 0},
		"time-coming": {jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &hour}, 20},
	} {
		if got := floor(consumer(name, test.cfg)); got != test.want {
			t.Errorf("the position of a new consumer %s is %d, want %d", name, got, test.want)
		}
	}
	c := consumer("acks", jetstream.ConsumerConfig{})
	batch, err := c.Fetch(10, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var all []jetstream.Msg
	for m := range batch.Messages() {
		all = append(all, m)
	}
	for i, want := range map[int]uint64{3: 7, 9: 19} {
		if err = all[i].DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := floor(c); got < want {
			t.Errorf("after acknowledging %d the position is %d", want, got)
		}
	}
	if err = all[5].DoubleAck(t.Context()); err != nil { // an earlier one is answered and changes nothing
		t.Error(err)
	}
	if got := floor(c); got != 19 {
		t.Errorf("after everything was acknowledged the position is %d, want 19", got)
	}
}

// An owner is cut off, another takes over, the first comes back: what it settles reaches nobody, and it is told.
func TestAStaleOwnerMovesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	direct := open(t, s.url(), nats.Config{LeaseTTL: 2 * time.Second})
	apply(t, direct, broker.Topic{Name: "t", Partitions: 1})
	publish(t, direct, numbers("t", 1, 20)...).mustBeStored(t)
	reader := broker.Reader{Group: "shop.mailer", Topics: []string{"t"}}
	p := brokertest.StartProxy(t, s.address())
	js := raw(t, s)

	a := consume(t, open(t, through(p), nats.Config{LeaseTTL: 2 * time.Second}), reader)
	old := a.next()
	got := old.read(t, 10)
	if err := old.Settle(old.ctx, broker.Settlement{Next: got[3].Sequence + 1}); err != nil {
		t.Fatal(err)
	}
	wantConsumers(t, js, map[string]uint64{"shop=mailer-p0-e1-1": 4})
	// Negative control: the very same acknowledgement that is to be refused later is obeyed as long as the owner is the owner.
	obeyed := "$JS.ACK.tidings_t.shop=mailer-p0-e1-1.1.5.5.0.0"
	if _, err := js.Conn().Request(obeyed, nil, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	wantConsumers(t, js, map[string]uint64{"shop=mailer-p0-e1-1": 5})

	p.ToServer.Shut()
	p.FromServer.Shut()
	b := consume(t, direct, reader)
	fresh := b.next()
	if got := values(fresh.read(t, 3)); !slices.Equal(got, []string{"6", "7", "8"}) {
		t.Fatalf("the next owner begins with %q", got)
	}
	if err := old.ctx.Err(); err == nil {
		t.Error("the old owner's context lives while there is another owner")
	}
	if err := old.Settle(t.Context(), broker.Settlement{Next: got[9].Sequence + 1}); err == nil {
		t.Error("the late settlement was accepted")
	}
	p.ToServer.Open()
	p.FromServer.Open()
	if err := old.Settle(t.Context(), broker.Settlement{Next: got[9].Sequence + 1}); err == nil {
		t.Error("the late settlement was accepted when the connection was back")
	}
	// Even what left the old owner's hands in time reaches nobody.
	if _, err := js.Conn().Request(strings.Replace(obeyed, ".1.5.5.", ".1.10.10.", 1), nil, 5*time.Second); err == nil {
		t.Error("somebody answers to a late acknowledgement")
	}
	wantConsumers(t, js, map[string]uint64{"shop=mailer-p0-e2-1": 5})
	fresh.release()
	old.release()
	b.stop()
	a.stop()
}

// Somebody takes messages away from a partition's consumer. The gap is seen, and nothing is lost, doubled or out of order.
func TestAGapIsReadAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), nats.Config{PrefetchRecords: 4})
	apply(t, b, broker.Topic{Name: "t", Partitions: 1})
	publish(t, b, numbers("t", 1, 2)...).mustBeStored(t)
	c := consume(t, b, broker.Reader{Group: "g", Topics: []string{"t"}})
	h := c.next()
	got := h.read(t, 2)
	if err := h.Settle(h.ctx, broker.Settlement{Next: got[0].Sequence + 1}); err != nil {
		t.Fatal(err)
	}

	js := raw(t, s)
	consumer, err := js.Consumer(t.Context(), "tidings_t", "g-p0-e1-1")
	if err != nil {
		t.Fatal(err)
	}
	thief, err := consumer.Fetch(30, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, numbers("t", 3, 40)...).mustBeStored(t)
	stolen := 0
	for range thief.Messages() {
		stolen++
	}
	if stolen == 0 {
		t.Fatal("nothing was stolen, so this test shows nothing")
	}
	publish(t, b, numbers("t", 41, 50)...).mustBeStored(t)
	got = append(got, h.read(t, 48)...)
	wantNumbers(t, values(got), 50)
	if err := h.Settle(h.ctx, broker.Settlement{Next: got[49].Sequence + 1}); err != nil {
		t.Fatal(err)
	}
	h.release()
	c.stop()
	names := consumers(t, js)
	if len(names) != 1 {
		t.Fatalf("consumers are left over: %v", names)
	}
	for name, floor := range names {
		if floor != 50 || name == "g-p0-e1-1" {
			t.Errorf("the position of %s is %d; a new consumer should be at 50", name, floor)
		}
	}
}

// The connection is cut again and again while records flow.
func TestCutConnectionsLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	direct := open(t, s.url(), nats.Config{})
	apply(t, direct, broker.Topic{Name: "t", Partitions: 1})
	p := brokertest.StartProxy(t, s.address())
	b := open(t, through(p), nats.Config{PrefetchRecords: 64})
	c := consume(t, b, broker.Reader{Group: "g", Topics: []string{"t"}})
	h := c.next()
	const rounds, each = 8, 100
	var got []string
	for i := range rounds {
		publish(t, direct, numbers("t", i*each+1, (i+1)*each)...).mustBeStored(t)
		half := h.read(t, each/2)
		p.Cut()
		rest := h.read(t, each/2)
		got = append(got, values(append(half, rest...))...)
		if err := h.Settle(h.ctx, broker.Settlement{Next: rest[len(rest)-1].Sequence + 1}); err != nil {
			t.Fatal(err)
		}
	}
	wantNumbers(t, got, rounds*each)
	h.release()
	c.stop()
	again := consume(t, direct, broker.Reader{Group: "g", Topics: []string{"t"}})
	h = again.next()
	publish(t, direct, numbers("t", rounds*each+1, rounds*each+1)...).mustBeStored(t)
	if got := values(h.read(t, 1)); got[0] != fmt.Sprint(rounds*each+1) {
		t.Errorf("everything was settled, and %s comes again", got[0])
	}
	h.release()
	again.stop()
}

// Records larger than a prefetch must not block a partition.
func TestALargeRecordBehindASmallPrefetch(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), nats.Config{PrefetchBytes: 10_000})
	apply(t, b, broker.Topic{Name: "t", Partitions: 1})
	for _, size := range []int{10, 500_000, 10, 20_000, 20_000, 10} {
		publish(t, b, broker.Record{Topic: "t", Key: "k", Value: make([]byte, size)}).mustBeStored(t)
	}
	c := consume(t, b, broker.Reader{Group: "g", Topics: []string{"t"}})
	h := c.next()
	if got := h.read(t, 6); len(got[1].Value) != 500_000 || len(got[5].Value) != 10 {
		t.Error("the records are not what they were")
	}
	h.release()
	c.stop()
}

// The bucket with the owners is lost, and with it the epochs: the group goes on from where it was.
func TestLostEpochsDoNotStopAGroup(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), nats.Config{LeaseTTL: time.Second})
	apply(t, b, broker.Topic{Name: "t", Partitions: 1})
	publish(t, b, numbers("t", 1, 10)...).mustBeStored(t)
	reader := broker.Reader{Group: "g", Topics: []string{"t"}}
	for from := 1; from <= 3; from++ {
		c := consume(t, b, reader)
		h := c.next()
		got := h.read(t, 1)
		if string(got[0].Value) != fmt.Sprint(from) {
			t.Fatalf("owner %d begins with %s", from, got[0].Value)
		}
		if err := h.Settle(h.ctx, broker.Settlement{Next: got[0].Sequence + 1}); err != nil {
			t.Fatal(err)
		}
		h.release()
		c.stop()
	}
	kv, err := raw(t, s).KeyValue(t.Context(), "tidings-leases")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Purge(t.Context(), "g/t"); err != nil {
		t.Fatal(err)
	}
	c := consume(t, b, reader)
	h := c.next()
	if got := values(h.read(t, 7)); got[0] != "4" || got[6] != "10" {
		t.Errorf("the group goes on with %q", got)
	}
	h.release()
	c.stop()
}

func TestFetchSaysHowAPartitionEnded(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), nats.Config{})
	apply(t, b, broker.Topic{Name: "t", Partitions: 1})
	c := consume(t, b, broker.Reader{Group: "g", Topics: []string{"t"}})
	h := c.next()
	c.cancel()
	if _, err := h.Fetch(h.ctx, 1, 1); !errors.Is(err, io.EOF) {
		t.Errorf("when Consume is to end Fetch returns %v", err)
	}
	h.release()
	c.stop()

	c = consume(t, b, broker.Reader{Group: "g", Topics: []string{"t"}})
	h = c.next()
	go func() { _ = b.Close() }()
	if _, err := h.Fetch(t.Context(), 1, 1); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("when the broker is closed Fetch returns %v", err)
	}
	h.release()
	if err := <-c.done; !errors.Is(err, broker.ErrClosed) {
		t.Errorf("when the broker is closed Consume returns %v", err)
	}
}

// An owner that could not finish opening a partition tries again, and what its first attempt left behind is its own position.
func TestAnAttemptThatFailedKeepsThePosition(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), nats.Config{})
	apply(t, b, broker.Topic{Name: "t", Partitions: 1})
	publish(t, b, numbers("t", 1, 10)...).mustBeStored(t)
	c := consume(t, b, broker.Reader{Group: "g", Topics: []string{"t"}})
	h := c.next()
	got := h.read(t, 5)
	if err := h.Settle(h.ctx, broker.Settlement{Next: got[4].Sequence + 1}); err != nil {
		t.Fatal(err)
	}
	h.release()
	c.stop()
	if name, err := b.EstablishTwice(t.Context(), "t", "g", 2); err != nil || name != "g-p0-e2-2" {
		t.Fatalf("the second attempt made %q, %v", name, err)
	}
	wantConsumers(t, raw(t, s), map[string]uint64{"g-p0-e2-2": 5})
}
