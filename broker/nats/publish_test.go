//go:build unix

package nats_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/internal/testenv"
)

func apply(tb testing.TB, b broker.Broker, topics ...broker.Topic) {
	tb.Helper()
	if _, err := b.Topics(tb.Context(), broker.Apply, topics...); err != nil {
		tb.Fatal(err)
	}
}

// outcome of one call of Publish.
type outcome struct {
	receipts []broker.Receipt
	errs     []error
	done     sync.WaitGroup
}

func publish(tb testing.TB, b broker.Broker, records ...broker.Record) *outcome {
	tb.Helper()
	o := &outcome{receipts: make([]broker.Receipt, len(records)), errs: make([]error, len(records))}
	o.done.Add(len(records))
	b.Publish(tb.Context(), records, func(i int, r broker.Receipt, err error) {
		defer o.done.Done()
		o.receipts[i], o.errs[i] = r, err
	})
	return o
}

func (o *outcome) mustBeStored(tb testing.TB) *outcome {
	tb.Helper()
	o.done.Wait()
	if err := errors.Join(o.errs...); err != nil {
		tb.Fatal(err)
	}
	return o
}

// numbers are records of one key whose values are the numbers from to to.
func numbers(topic string, from, to int) []broker.Record {
	records := anonymous(topic, from, to)
	for i := range records {
		records[i].ID = fmt.Sprint("id", from+i)
	}
	return records
}

// anonymous are numbers without IDs.
func anonymous(topic string, from, to int) []broker.Record {
	var records []broker.Record
	for i := from; i <= to; i++ {
		records = append(records, broker.Record{Topic: topic, Key: "key", Value: fmt.Append(nil, i)})
	}
	return records
}

// stored is what a topic holds, read to the end.
func stored(tb testing.TB, b broker.Broker, topic string) (values []string) {
	tb.Helper()
	var mu sync.Mutex
	err := b.Consume(tb.Context(), broker.Reader{Topics: []string{topic}, ToEnd: true}, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 100, 1<<20)
			if err != nil {
				return
			}
			mu.Lock()
			for _, d := range deliveries {
				values = append(values, string(d.Value))
			}
			mu.Unlock()
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
	return values
}

func wantNumbers(tb testing.TB, got []string, to int) {
	tb.Helper()
	var want []string
	for i := 1; i <= to; i++ {
		want = append(want, fmt.Sprint(i))
	}
	if !slices.Equal(got, want) {
		tb.Fatalf("the topic should hold the numbers from 1 to %d once and in order, it holds %q", to, got)
	}
}

func TestWhatWasPublishedBeforeIsNotStoredAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), nats.Config{})
	for name, calls := range map[string][][2]int{
		"all again":        {{1, 50}, {1, 50}},
		"end and new":      {{1, 50}, {30, 100}},
		"one in the midst": {{1, 20}, {10, 10}, {5, 40}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := strings.ReplaceAll(name, " ", "-")
			apply(t, b, broker.Topic{Name: topic, Partitions: 1})
			end := 0
			places := map[string]uint64{}
			for _, call := range calls {
				records := numbers(topic, call[0], call[1])
				o := publish(t, b, records...).mustBeStored(t)
				for i, r := range o.receipts {
					value := string(records[i].Value)
					if before, ok := places[value]; ok && before != r.Sequence {
						t.Errorf("%s was at %d and is at %d now", value, before, r.Sequence)
					}
					places[value] = r.Sequence
				}
				end = max(end, call[1])
			}
			wantNumbers(t, stored(t, b, topic), end)
		})
	}
}

func TestTwoRecordsOfOneCallWithOneID(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), nats.Config{})
	apply(t, b, broker.Topic{Name: "t", Partitions: 1})
	records := numbers("t", 1, 6)
	records[3].ID = records[1].ID
	publish(t, b, records...).mustBeStored(t)
	if got := stored(t, b, "t"); !slices.Equal(got, []string{"1", "2", "3", "5", "6"}) {
		t.Errorf("2 and 4 have one ID; stored are %q", got)
	}
}

// The server stores, and its answers are lost with the connection: the batch is sent again and is stored once, also if its
// records have no IDs.
func TestLostAnswersStoreNothingTwice(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for topic, records := range map[string]func(string, int, int) []broker.Record{"with-IDs": numbers, "without-IDs": anonymous} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			direct := open(t, s.url(), nats.Config{})
			apply(t, direct, broker.Topic{Name: topic, Partitions: 1})
			p := brokertest.StartProxy(t, s.address())
			b := open(t, through(p), nats.Config{})
			publish(t, b, records(topic, 1, 1)...).mustBeStored(t)

			p.FromServer.Shut()
			first := publish(t, b, records(topic, 2, 300)...)
			testenv.Eventually(t, 10*time.Second, func() error {
				if n := messages(t, direct, topic); n < 300 {
					return fmt.Errorf("the server has %d records", n)
				}
				return nil
			})
			second := publish(t, b, records(topic, 301, 400)...)
			p.Cut()
			p.FromServer.Open()
			first.mustBeStored(t)
			second.mustBeStored(t)
			for i, r := range first.receipts {
				if r.Sequence != uint64(i+2) {
					t.Fatalf("record %d is said to be at %d", i+2, r.Sequence)
				}
			}
			wantNumbers(t, stored(t, direct, topic), 400)
		})
	}
}

func messages(tb testing.TB, b broker.Broker, topic string) uint64 {
	tb.Helper()
	states, err := b.Topics(tb.Context(), broker.Inspect, broker.Topic{Name: topic})
	if err != nil {
		tb.Fatal(err)
	}
	return states[0].Messages
}

// When a record fails for lack of an answer, nothing that waited behind it is stored later.
func TestWhatGatheredBehindAFailureFailsToo(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	direct := open(t, s.url(), nats.Config{})
	apply(t, direct, broker.Topic{Name: "t", Partitions: 1})
	p := brokertest.StartProxy(t, s.address())
	b := open(t, through(p), nats.Config{PublishTimeout: 3 * time.Second, DuplicateWindow: time.Minute})
	publish(t, b, numbers("t", 1, 1)...).mustBeStored(t)

	p.ToServer.Shut()
	began := time.Now()
	first := publish(t, b, numbers("t", 2, 3)...)
	second := publish(t, b, numbers("t", 4, 2500)...)
	first.done.Wait()
	second.done.Wait()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("with a publish timeout of 3 s it took %v", took)
	}
	for _, err := range append(first.errs, second.errs...) {
		if err == nil || broker.Permanent(err) || !strings.Contains(err.Error(), "nats: publish to t: ") {
			t.Fatalf("a record that was never answered for ends with %v", err)
		}
	}
	p.ToServer.Open()
	publish(t, b, numbers("t", 2, 2500)...).mustBeStored(t)
	wantNumbers(t, stored(t, direct, "t"), 2500)
}

func TestAServerWithSmallerBatches(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = 70 })
	b := open(t, s.url(), nats.Config{})
	apply(t, b, broker.Topic{Name: "t", Partitions: 1})
	publish(t, b, anonymous("t", 1, 1500)...).mustBeStored(t)
	publish(t, b, numbers("t", 1501, 1700)...).mustBeStored(t)
	wantNumbers(t, stored(t, b, "t"), 1700)
}

func TestATopicThatIsDeletedMeanwhileIsUnknown(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), nats.Config{})
	apply(t, b, broker.Topic{Name: "t", Partitions: 1})
	publish(t, b, numbers("t", 1, 10)...).mustBeStored(t)
	if err := raw(t, s).DeleteStream(t.Context(), "tidings_t"); err != nil {
		t.Fatal(err)
	}
	o := publish(t, b, numbers("t", 11, 20)...)
	o.done.Wait()
	for _, err := range o.errs {
		if !errors.Is(err, broker.ErrUnknownTopic) || !strings.Contains(err.Error(), "broker.Apply") {
			t.Fatalf("publishing to a deleted topic gives %v", err)
		}
	}
	apply(t, b, broker.Topic{Name: "t", Partitions: 3})
	publish(t, b, numbers("t", 1, 10)...).mustBeStored(t)
}

func TestStreamsOfOthersAreNotTouched(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), nats.Config{PublishTimeout: 2 * time.Second})
	if _, err := raw(t, s).CreateStream(t.Context(), jetstream.StreamConfig{Name: "tidings_t", Subjects: []string{"tidings.t.t.*"}}); err != nil {
		t.Fatal(err)
	}
	states, err := b.Topics(t.Context(), broker.Apply, broker.Topic{Name: "t", Partitions: 2})
	if err != nil || len(states[0].Diff) != 1 || !strings.Contains(states[0].Diff[0], "not made by tidings") {
		t.Errorf("somebody else's stream is described as %+v, %v", states, err)
	}
	o := publish(t, b, numbers("t", 1, 2)...)
	o.done.Wait()
	if err := o.errs[0]; err == nil || !strings.Contains(err.Error(), "not made by tidings") {
		t.Errorf("publishing to somebody else's stream gives %v", err)
	}
	if n := messages(t, b, "t"); n != 0 {
		t.Errorf("%d messages are in somebody else's stream", n)
	}
}

func TestMistakesOfConnectingAreNamed(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.Username, o.Password = "me", "right" })
	off := startServer(t, func(o *server.Options) { o.JetStream = false })
	for want, url := range map[string]string{
		"authentication failed": strings.Replace(s.url(), "me:right@", "me:wrong@", 1),
		"nobody answers":        fmt.Sprint("nats://me:wrong@127.0.0.1:", testenv.FreePort(t)),
		"without JetStream":     off.url(),
	} {
		if !strings.Contains(url, "@") && want == "authentication failed" {
			url = strings.Replace(url, "nats://", "nats://me:wrong@", 1)
		}
		_, err := nats.Open(t.Context(), url, nats.Config{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%q was to be said, and not the password: %v", want, err)
		}
	}
	if _, err := nats.Open(t.Context(), off.url(), nats.Config{Partitions: -1}); err == nil || !strings.Contains(err.Error(), "Config.Partitions") {
		t.Errorf("a negative number of partitions gives %v", err)
	}
}

func TestNewLeavesTheConnectionToItsOwner(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	nc, err := natsgo.Connect(s.url())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	b, err := nats.New(t.Context(), nc, nats.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if nc.IsClosed() {
		t.Error("the broker has closed a connection that it did not open")
	}
}
