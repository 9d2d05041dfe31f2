package memory_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
)

// orders returns a broker with the topic "orders" of one partition.
func orders(t *testing.T, config memory.Config) *memory.Broker {
	t.Helper()
	b := memory.New(config)
	t.Cleanup(func() { b.Close() })
	if _, err := b.Topics(t.Context(), broker.Apply, broker.Topic{Name: "orders", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	return b
}

func publish(t *testing.T, b *memory.Broker, records ...broker.Record) []broker.Receipt {
	t.Helper()
	receipts := make([]broker.Receipt, len(records))
	b.Publish(t.Context(), records, func(i int, r broker.Receipt, err error) {
		if err != nil {
			t.Errorf("record %d: %v", i, err)
		}
		receipts[i] = r
	})
	return receipts
}

// numbers are records with the values from to to.
func numbers(from, to int) []broker.Record {
	var records []broker.Record
	for i := from; i <= to; i++ {
		records = append(records, broker.Record{Topic: "orders", Key: "key", Value: fmt.Append(nil, i)})
	}
	return records
}

// finish says what is to become of all below next.
type finish func(ctx context.Context, p broker.Partition, next uint64) error

func settle(ctx context.Context, p broker.Partition, next uint64) error {
	return p.Settle(ctx, broker.Settlement{Next: next})
}

func leave(context.Context, broker.Partition, uint64) error { return nil }

// readAll returns the values that r gets until it waits for more.
func readAll(t *testing.T, b *memory.Broker, r broker.Reader, finish finish) []string {
	t.Helper()
	var values []string
	each := func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 100, 1<<20)
			if err != nil {
				return
			}
			for _, d := range deliveries {
				values = append(values, string(d.Value))
			}
			if err := finish(ctx, p, deliveries[len(deliveries)-1].Sequence+1); err != nil {
				t.Error(err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Consume(ctx, r, each) }()
	synctest.Wait() // Nothing is left to read.
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return values
}

func messages(t *testing.T, b *memory.Broker) uint64 {
	t.Helper()
	states, err := b.Topics(t.Context(), broker.Inspect, broker.Topic{Name: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	return states[0].Messages
}

func TestSettledRecordsAreDroppedBeyondRetain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := orders(t, memory.Config{Retain: 100})
		reader := broker.Reader{Group: "group", Topics: []string{"orders"}}
		readAll(t, b, reader, settle) // The group is known.
		publish(t, b, numbers(1, 10_000)...)
		if n := messages(t, b); n != 10_000 {
			t.Fatalf("of 10,000 unsettled records %d are held", n)
		}
		if got := readAll(t, b, reader, leave); len(got) != 10_000 {
			t.Fatalf("the group got %d of 10,000 records", len(got))
		}
		if n := messages(t, b); n != 10_000 {
			t.Fatalf("of 10,000 records that were read and not settled %d are held", n)
		}
		if got := readAll(t, b, reader, settle); len(got) != 10_000 || got[9999] != "10000" {
			t.Fatalf("the group got %d of 10,000 records again", len(got))
		}
		if n := messages(t, b); n < 100 || n > 300 {
			t.Errorf("100 settled records are to be retained, %d are", n)
		}
		got := readAll(t, b, broker.Reader{Group: "new", Topics: []string{"orders"}}, settle)
		if n := len(got); n < 100 || got[n-1] != "10000" {
			t.Errorf("a new group gets the last %d records", n)
		}
	})
}

func TestRecordsThatNobodyReadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := orders(t, memory.Config{Retain: 100})
		publish(t, b, numbers(1, 10_000)...)
		if n := messages(t, b); n < 100 || n > 300 {
			t.Errorf("100 records are to be retained, %d are", n)
		}
	})
}

func TestRunningReaderWithoutGroupLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := orders(t, memory.Config{Retain: 100})
		publish(t, b, numbers(1, 50)...)
		var got []broker.Delivery
		offered, publishedMore := make(chan struct{}), make(chan struct{})
		each := func(ctx context.Context, p broker.Partition) {
			close(offered)
			<-publishedMore
			for {
				deliveries, err := p.Fetch(ctx, 10, 1<<20)
				if err != nil {
					return
				}
				got = append(got, deliveries...)
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- b.Consume(t.Context(), broker.Reader{Topics: []string{"orders"}}, each) }()
		<-offered
		publish(t, b, numbers(51, 1000)...)
		close(publishedMore)
		synctest.Wait()
		if len(got) != 1000 {
			t.Errorf("the reader got %d of 1,000 records", len(got))
		}
		b.Close()
		if err := <-ended; !errors.Is(err, broker.ErrClosed) {
			t.Errorf("Consume returned %v", err)
		}
	})
}

func TestRepeatedIDGetsTheFirstReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := orders(t, memory.Config{})
		record := broker.Record{Topic: "orders", ID: "id", Value: []byte("x")}
		first := publish(t, b, record)[0]
		if again := publish(t, b, record)[0]; again != first {
			t.Errorf("the first receipt is %+v, the second %+v", first, again)
		}
		for i := range 8192 - 1 {
			publish(t, b, broker.Record{Topic: "orders", ID: fmt.Sprint("other", i)})
		}
		if again := publish(t, b, record)[0]; again != first {
			t.Errorf("after 8,191 others the receipt is %+v", again)
		}
		for i := range 2 * 8192 {
			publish(t, b, broker.Record{Topic: "orders", ID: fmt.Sprint("another", i)})
		}
		if again := publish(t, b, record)[0]; again == first {
			t.Error("an ID is remembered without end")
		}
	})
}

func TestSlowListenerLosesTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := orders(t, memory.Config{})
		release := make(chan struct{})
		var heard []string
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- b.Listen(ctx, broker.Listener{Topics: []string{"orders"}}, func(r broker.Record) {
				heard = append(heard, string(r.Value))
				<-release
			})
		}()
		synctest.Wait()
		publish(t, b, numbers(1, 1)...)
		synctest.Wait()
		publish(t, b, numbers(2, 2000)...)
		close(release)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := len(heard); n != 1025 || heard[0] != "1" || heard[1] != "977" || heard[n-1] != "2000" {
			t.Errorf("heard %d records: %s, %s to %s", n, heard[0], heard[1], heard[n-1])
		}
	})
}

func TestFaultFailsAllLaterRecordsOfItsTopic(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	config := memory.Config{Fault: func(op, topic string) error {
		if calls++; op == "publish" && topic == "orders" && calls < 3 {
			return broken
		}
		return nil
	}}
	synctest.Test(t, func(t *testing.T) {
		b := orders(t, config)
		if _, err := b.Topics(t.Context(), broker.Apply, broker.Topic{Name: "other", Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		calls = 0
		var outcomes []string
		records := []broker.Record{{Topic: "orders", Key: "1"}, {Topic: "other"}, {Topic: "orders", Key: "1"}, {Topic: "other"}}
		b.Publish(t.Context(), records, func(i int, _ broker.Receipt, err error) {
			outcomes = append(outcomes, fmt.Sprint(i, errors.Is(err, broken)))
		})
		if want := []string{"0 true", "1 false", "2 true", "3 false"}; !slices.Equal(outcomes, want) {
			t.Errorf("the outcomes are to be %q, and are %q", want, outcomes)
		}
	})
}

func TestSettlementBeyondWhatWasFetchedIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := orders(t, memory.Config{})
		publish(t, b, numbers(1, 10)...)
		reader := broker.Reader{Group: "group", Topics: []string{"orders"}}
		ctx, cancel := context.WithCancel(t.Context())
		err := b.Consume(ctx, reader, func(ctx context.Context, p broker.Partition) {
			defer cancel()
			if _, err := p.Fetch(ctx, 3, 1<<20); err != nil {
				t.Error(err)
			}
			if err := p.Settle(ctx, broker.Settlement{Next: 5}); !errors.Is(err, broker.ErrInvalid) {
				t.Errorf("settling a record that was not fetched gives %v", err)
			}
			if _, err := p.Fetch(ctx, 3, 1<<20); err != nil && !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
		if err != nil {
			t.Error(err)
		}
		if got := readAll(t, b, reader, settle); len(got) != 10 {
			t.Errorf("the group gets %q", got)
		}
	})
}

func TestCloseWaitsForItsCallsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := orders(t, memory.Config{})
		other := b.Connect()
		defer other.Close()
		reader := broker.Reader{Group: "group", Topics: []string{"orders"}}
		ended, lasting := make(chan error, 1), make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		work := func(ctx context.Context, _ broker.Partition) {
			<-ctx.Done()
			<-time.After(time.Second) // It cleans up.
		}
		go func() { ended <- b.Consume(t.Context(), reader, work) }()
		synctest.Wait()
		go func() {
			lasting <- other.Consume(ctx, reader, func(ctx context.Context, p broker.Partition) {
				if d, err := p.Fetch(ctx, 1, 1); err != nil || string(d[0].Value) != "1" {
					t.Errorf("the other client's Fetch returned %v", err)
				}
				cancel()
			})
		}()
		start := time.Now()
		b.Close()
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("Close took %s; its reader needed a second", waited)
		}
		if err := <-ended; !errors.Is(err, broker.ErrClosed) {
			t.Errorf("Consume on a closed client returned %v", err)
		}
		publish(t, other, numbers(1, 1)...)
		if err := <-lasting; err != nil {
			t.Error(err)
		}
	})
}

func TestBadInputIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := orders(t, memory.Config{MaxRecordBytes: 100})
		for want, record := range map[string]broker.Record{
			`publish to "orders": 107 bytes, at most 100`:      {Topic: "orders", Key: "k", Value: make([]byte, 100)},
			`publish to "orders": header 0 has no name`:        {Topic: "orders", Headers: []broker.Header{{Value: "x"}}},
			`publish to "orders": header "h" is not UTF-8`:     {Topic: "orders", Headers: []broker.Header{{Name: "h", Value: "\xff"}}},
			`publish to "a b": topic name "a b": only letters`: {Topic: "a b"},
			`publish to "": a topic name has 1 to 200`:         {},
			`publish to "unknown": unknown topic`:              {Topic: "unknown"},
		} {
			b.Publish(t.Context(), []broker.Record{record}, func(_ int, _ broker.Receipt, err error) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error is to say %q: %v", want, err)
				}
			})
			if err := b.Live(t.Context(), []broker.Record{record}); err == nil {
				t.Errorf("sent live: %+v", record)
			}
		}
		for _, topic := range []broker.Topic{{Name: "t", Partitions: -1}, {Name: "t", Partitions: 1 << 20}, {Name: "t", Retention: -1}} {
			if _, err := b.Topics(t.Context(), broker.Apply, topic); !errors.Is(err, broker.ErrInvalid) {
				t.Errorf("applied %+v: %v", topic, err)
			}
		}
		if err := b.Consume(t.Context(), broker.Reader{Group: "g"}, nil); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("consumed no topic: %v", err)
		}
	})
}
