package kafka_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/kafka"
	"github.com/tidings-go/tidings/internal/testenv"
)

// spy reads the positions of a group in a topic, and notices when one goes back.
type spy struct {
	cl           *kadm.Client
	group, topic string
	last         map[int32]int64
	backwards    []string
}

func newSpy(t *testing.T, group, topic string) *spy {
	t.Helper()
	return &spy{cl: kadm.NewClient(rawClient(t)), group: group, topic: topic, last: map[int32]int64{}}
}

func (s *spy) look(t *testing.T) {
	t.Helper()
	committed, err := s.cl.FetchOffsets(t.Context(), s.group)
	if err != nil {
		t.Fatal(err)
	}
	for partition, o := range committed[s.topic] {
		if o.At < s.last[partition] {
			s.backwards = append(s.backwards, fmt.Sprintf("partition %d went back from %d to %d", partition, s.last[partition], o.At))
		}
		s.last[partition] = o.At
	}
}

func TestTheSpyNotices(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, open(t, kafka.Config{}), 1)
	s := newSpy(t, "kg-"+rand.Text()[:12], topic)
	for _, at := range []int64{3, 90, 4} {
		offsets := kadm.Offsets{}
		offsets.AddOffset(topic, 0, at, -1)
		if err := s.cl.CommitAllOffsets(t.Context(), s.group, offsets); err != nil {
			t.Fatal(err)
		}
		s.look(t)
	}
	if len(s.backwards) != 1 {
		t.Errorf("3, 90 and 4 were committed; the spy noticed %q", s.backwards)
	}
}

// TestPositionsNeverGoBack has a handler that is still busy when its partition has moved, and then settles. The new owner has long been further.
func TestPositionsNeverGoBack(t *testing.T) {
	t.Parallel()
	for _, server := range []bool{false, true} {
		t.Run(fmt.Sprint("server balancer ", server), func(t *testing.T) {
			t.Parallel()
			positionsNeverGoBack(t, kafka.Config{HandOver: time.Second, SessionTimeout: 6 * time.Second, ServerBalancer: server})
		})
	}
}

func positionsNeverGoBack(t *testing.T, cfg kafka.Config) {
	t.Helper()
	const partitions, records = 4, 100
	slow, quick := open(t, cfg), open(t, cfg)
	topic := newTopic(t, slow, partitions)
	reader := broker.Reader{Group: "kg-" + rand.Text()[:12], Topics: []string{topic}}
	var sent []broker.Record
	for i := range partitions * records {
		sent = append(sent, broker.Record{Topic: topic, Key: fmt.Sprint("key", i%64), Value: []byte("x")})
	}
	publishAll(t, slow, sent)
	watcher := newSpy(t, reader.Group, topic)

	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	release := make(chan struct{})
	busy, late := make(chan struct{}, partitions), make(chan error, partitions)
	working.Go(func() {
		if err := slow.Consume(ctx, reader, func(held context.Context, p broker.Partition) { stuck(held, p, busy, release, late) }); err != nil {
			t.Error(err)
		}
	})
	for range partitions {
		<-busy
	}
	working.Go(func() {
		if err := quick.Consume(ctx, reader, settleAll); err != nil {
			t.Error(err)
		}
	})
	testenv.Eventually(t, 30*time.Second, func() error {
		watcher.look(t)
		return moved(watcher.last, partitions/2)
	})
	close(release)
	for range partitions {
		if err := <-late; err == nil {
			t.Log("a partition was still owned when its handler settled")
		}
	}
	deadline := time.Now().Add(time.Second)
	testenv.Eventually(t, 30*time.Second, func() error {
		watcher.look(t)
		if time.Now().Before(deadline) {
			return fmt.Errorf("watching until %s", deadline)
		}
		return moved(watcher.last, partitions/2)
	})
	for _, complaint := range watcher.backwards {
		t.Error(complaint)
	}
}

// moved says whether so many partitions were read to their ends.
func moved(positions map[int32]int64, want int) error {
	n := 0
	for _, at := range positions {
		if at > 20 {
			n++
		}
	}
	if n < want {
		return fmt.Errorf("%d of %d partitions were read by the new owner: %v", n, want, positions)
	}
	return nil
}

// stuck fetches, ignores that its partition is lost, and settles a little when it is released.
func stuck(ctx context.Context, p broker.Partition, busy chan<- struct{}, release <-chan struct{}, late chan<- error) {
	deliveries, err := p.Fetch(ctx, 2, 1<<20)
	if err != nil {
		return
	}
	select {
	case <-release: // a later turn
		settleAll(ctx, p)
		return
	default:
	}
	busy <- struct{}{}
	<-release
	late <- p.Settle(context.WithoutCancel(ctx), broker.Settlement{Next: deliveries[0].Sequence + 1})
}

func settleAll(ctx context.Context, p broker.Partition) {
	for {
		deliveries, err := p.Fetch(ctx, 64, 1<<20)
		if err != nil {
			return
		}
		if err := p.Settle(ctx, broker.Settlement{Next: deliveries[len(deliveries)-1].Sequence + 1}); err != nil {
			return
		}
	}
}

func publishAll(tb testing.TB, b broker.Broker, records []broker.Record) {
	tb.Helper()
	var open sync.WaitGroup
	open.Add(len(records))
	b.Publish(tb.Context(), records, func(_ int, _ broker.Receipt, err error) {
		defer open.Done()
		if err != nil {
			tb.Error(err)
		}
	})
	open.Wait()
}

// TestOrderWhileConnectionsAreCut loses answers to publishers and readers alike.
func TestOrderWhileConnectionsAreCut(t *testing.T) {
	t.Parallel()
	network := brokertest.StartProxy(t, seeds(t)[0])
	b, err := kafka.Open(t.Context(), seeds(t), kafka.Config{SessionTimeout: 6 * time.Second}, through(network))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	topic := newTopic(t, b, 4)
	var oracle brokertest.Oracle
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	working.Go(func() {
		err := b.Consume(ctx, broker.Reader{Group: "kg-" + rand.Text()[:12], Topics: []string{topic}}, func(held context.Context, p broker.Partition) {
			follow(held, p, &oracle)
		})
		if err != nil {
			t.Error(err)
		}
	})
	var open sync.WaitGroup
	for round := range 100 {
		records := make([]broker.Record, 100)
		for i := range records {
			key := fmt.Sprint("key", i%16)
			records[i] = broker.Record{Topic: topic, Key: key, Value: fmt.Append(nil, oracle.Issue(key))}
		}
		open.Add(len(records))
		b.Publish(ctx, records, func(i int, _ broker.Receipt, err error) {
			defer open.Done()
			if err != nil {
				t.Error(err)
				return
			}
			oracle.Stored(records[i].Key, number(records[i].Value))
		})
		if round%10 == 5 {
			network.Cut()
		}
		if round%5 == 0 {
			open.Wait()
		}
	}
	open.Wait()
	testenv.Eventually(t, 60*time.Second, func() error {
		if n := oracle.Open(); n > 0 {
			return fmt.Errorf("%d records have not arrived", n)
		}
		return nil
	})
	v := oracle.Check()
	if err := v.Err(); err != nil {
		t.Error(err)
	}
	t.Logf("%d records, %d repeats", v.Handled, v.Repeats)
}

func follow(ctx context.Context, p broker.Partition, oracle *brokertest.Oracle) {
	for {
		deliveries, err := p.Fetch(ctx, 64, 1<<20)
		if err != nil {
			return
		}
		for i := range deliveries {
			oracle.Handled(deliveries[i].Key, number(deliveries[i].Value))
		}
		if err := p.Settle(ctx, broker.Settlement{Next: deliveries[len(deliveries)-1].Sequence + 1}); err != nil {
			return
		}
	}
}

func number(value []byte) int {
	n := 0
	for _, c := range value {
		n = n*10 + int(c-'0')
	}
	return n
}
