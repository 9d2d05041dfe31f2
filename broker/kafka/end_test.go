package kafka_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
)

// readToEnd returns how many records a reader to the end gets. It calls first when it has got some. A reader that does not come to the end fails the test.
func readToEnd(t *testing.T, b *kafka.Broker, topic string, first func()) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	n := 0
	err := b.Consume(ctx, broker.Reader{Topics: []string{topic}, ToEnd: true}, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 5, 1<<20)
			if err != nil {
				return
			}
			if n == 0 {
				first()
			}
			n += len(deliveries)
		}
	})
	if err != nil || ctx.Err() != nil {
		t.Fatalf("after %d records the end did not come: %v, %v", n, err, ctx.Err())
	}
	return n
}

func TestTheEndIsAnAbortedTransaction(t *testing.T) {
	t.Parallel()
	b := open(t, kafka.Config{})
	topic := newTopic(t, b, 1)
	publishAll(t, b, []broker.Record{sample(topic, 1), sample(topic, 2)})
	cl := rawClient(t, kgo.TransactionalID("tx-"+topic), kgo.DefaultProduceTopic(topic))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("never"), kgo.StringRecord("never")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	if n := readToEnd(t, b, topic, func() {}); n != 2 {
		t.Errorf("two records were committed; the reader got %d", n)
	}
}

func TestTheEndIsRemovedWhileItIsRead(t *testing.T) {
	t.Parallel()
	const records = 2000
	b := open(t, kafka.Config{PrefetchRecords: 1, PrefetchBytes: 10_000, Compression: "none"})
	topic := newTopic(t, b, 1)
	for i := range records / 50 {
		var some []broker.Record
		for j := range 50 {
			some = append(some, sample(topic, 50*i+j))
		}
		publishAll(t, b, some)
	}
	n := readToEnd(t, b, topic, func() {
		offsets := kadm.Offsets{}
		offsets.AddOffset(topic, 0, records, -1)
		if _, err := kadm.NewClient(rawClient(t)).DeleteRecords(t.Context(), offsets); err != nil {
			t.Error(err)
		}
	})
	if n == 0 || n == records {
		t.Errorf("the reader got %d of %d records, all of which were removed after it had got some", n, records)
	}
}

// TestTheEndIsCompactedAway has a broker that says that there are records, and has none of them.
func TestTheEndIsCompactedAway(t *testing.T) {
	t.Parallel()
	c := fake(t)
	b := openFake(t, c, kafka.Config{})
	var a answers
	a.publish(b, "1", "2", "3")
	a.wait(t, 3)
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		fetch, ok := req.(*kmsg.FetchRequest)
		if !ok {
			return nil, fmt.Errorf("the request is a %T", req), true
		}
		return nothing(c, fetch), nil, true
	})
	if n := readToEnd(t, b, "t", func() {}); n != 0 {
		t.Errorf("nothing was left; the reader got %d", n)
	}
}

// nothing is the answer of a log without records whose end is where the topic's is.
func nothing(c *kfake.Cluster, req *kmsg.FetchRequest) *kmsg.FetchResponse {
	resp := &kmsg.FetchResponse{Version: req.Version}
	for i := range req.Topics {
		t := kmsg.NewFetchResponseTopic()
		t.Topic, t.TopicID = req.Topics[i].Topic, req.Topics[i].TopicID
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition = req.Topics[i].Partitions[j].Partition
			p.HighWatermark = c.PartitionInfo("t", p.Partition).HighWatermark
			p.LastStableOffset = p.HighWatermark
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}
