package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
)

func TestKeysArePlacedAsByOtherClients(t *testing.T) {
	t.Parallel()
	const partitions = 7
	c := fake(t, kfake.SeedTopics(partitions, "many"))
	b := openFake(t, c, kafka.Config{})
	other := kgo.StickyKeyPartitioner(nil).ForTopic("many")
	var records []broker.Record
	for i := range 200 {
		records = append(records, broker.Record{Topic: "many", Key: strings.Repeat("ž", i%5) + fmt.Sprint(i), Value: []byte("x")})
	}
	var open sync.WaitGroup
	open.Add(len(records))
	b.Publish(t.Context(), records, func(i int, r broker.Receipt, err error) {
		defer open.Done()
		if want := other.Partition(&kgo.Record{Key: []byte(records[i].Key)}, partitions); err != nil || r.Partition != want {
			t.Errorf("key %q is in partition %d, %v; other clients place it in %d", records[i].Key, r.Partition, err, want)
		}
	})
	open.Wait()
}

// TestRecordsSurvive publishes records of any content, in batches of any size and compression, and reads them again.
func TestRecordsSurvive(t *testing.T) {
	t.Parallel()
	c := fake(t)
	brokers := make(map[string]*kafka.Broker)
	for _, compression := range []string{"none", "snappy", "lz4", "zstd", "gzip"} {
		brokers[compression] = openFake(t, c, kafka.Config{Compression: compression})
	}
	rapid.Check(t, func(t *rapid.T) {
		b := brokers[rapid.SampledFrom([]string{"none", "snappy", "lz4", "zstd", "gzip"}).Draw(t, "compression")]
		text := rapid.OneOf(rapid.StringN(0, 20, -1), rapid.Just(strings.Repeat("long ", 100)))
		name := rapid.OneOf(rapid.SampledFrom([]string{"ce-id", "ce-type", "content-type", "tidings-id", "x"}), rapid.StringMatching("[a-z-]{1,8}"))
		sent := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) broker.Record {
			r := broker.Record{Topic: "t", Key: text.Draw(t, "key"), ID: text.Draw(t, "id"), Value: []byte(text.Draw(t, "value"))}
			for range rapid.IntRange(0, 4).Draw(t, "headers") {
				r.Headers = append(r.Headers, broker.Header{Name: name.Draw(t, "name"), Value: text.Draw(t, "header")})
			}
			return r
		}), 1, 30).Draw(t, "records")

		from := time.Now()
		first := make([]uint64, len(sent))
		var open sync.WaitGroup
		open.Add(len(sent))
		b.Publish(context.Background(), sent, func(i int, r broker.Receipt, err error) {
			defer open.Done()
			if err != nil {
				t.Errorf("publish: %v", err)
			}
			first[i] = r.Sequence
		})
		open.Wait()
		got := readFrom(t, b, first[0], broker.Start{At: from.Add(-time.Second)})
		if len(got) != len(sent) {
			t.Fatalf("sent %d records, got %d", len(sent), len(got))
		}
		for i := range got {
			if !same(&sent[i], &got[i].Record) || got[i].Sequence != first[i] {
				t.Fatalf("sent %+v as %d, got %+v", sent[i], first[i], got[i])
			}
		}
	})
}

// readFrom reads from a sequence on to the end.
func readFrom(t *rapid.T, b *kafka.Broker, first uint64, from broker.Start) []broker.Delivery {
	t.Helper()
	var got []broker.Delivery
	err := b.Consume(context.Background(), broker.Reader{Topics: []string{"t"}, From: from, ToEnd: true}, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 100, 1<<20)
			if err != nil {
				return
			}
			got = append(got, deliveries...)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(got, func(d broker.Delivery) bool { return d.Sequence < first })
}

func same(a, b *broker.Record) bool {
	return a.Key == b.Key && a.ID == b.ID && string(a.Value) == string(b.Value) && slices.Equal(a.Headers, b.Headers)
}

func TestTopicDifferences(t *testing.T) {
	t.Parallel()
	c := fake(t, kfake.NumBrokers(3))
	b := openFake(t, c, kafka.Config{Replication: 3})
	if err := c.CreateTopic("compacted", 2, map[string]string{"cleanup.policy": "compact", "retention.ms": "604800000"}); err != nil {
		t.Fatal(err)
	}
	want := broker.Topic{Name: "compacted", Partitions: 4, Retention: time.Hour}
	states, err := b.Topics(t.Context(), broker.Apply, want)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(states[0].Diff, "\n")
	for _, line := range []string{"partitions: expected 4, found 2", "retention: expected 1h0m0s, found 168h0m0s", "compacted: expected false, found true"} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is missing in\n%s", line, got)
		}
	}
	want.External, want.Partitions, want.Retention = true, 2, 0
	if states, err = b.Topics(t.Context(), broker.Inspect, want); err != nil || len(states[0].Diff) > 0 {
		t.Errorf("an external topic's policy is its owner's business: %q, %v", states[0].Diff, err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		cfg  kafka.Config
		says string
	}{
		{kafka.Config{BufferBytes: -1}, "Config.BufferBytes"},
		{kafka.Config{Compression: "zip"}, "Config.Compression"},
		{kafka.Config{SASL: kafka.SASL{Mechanism: "GSSAPI"}}, "Config.SASL.Mechanism"},
		{kafka.Config{SASL: kafka.SASL{Mechanism: "PLAIN", User: "alice"}}, "Config.SASL needs User and Password"},
		{kafka.Config{SASL: kafka.SASL{User: "alice"}}, "no Mechanism"},
		{kafka.Config{SASL: kafka.SASL{Mechanism: "OAUTHBEARER"}}, "Config.SASL.Token"},
	} {
		b, err := kafka.Open(t.Context(), []string{"127.0.0.1:1"}, test.cfg)
		if b != nil || err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v gives %v", test.cfg, err)
		}
	}
	if _, err := kafka.Open(t.Context(), nil, kafka.Config{}); err == nil || !strings.Contains(err.Error(), "host:port") {
		t.Errorf("no seeds give %v", err)
	}
	if _, err := kafka.Open(t.Context(), []string{"127.0.0.1:1"}, kafka.Config{}); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("nobody at home gives %v", err)
	}
}
