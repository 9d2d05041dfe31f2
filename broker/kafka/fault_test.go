package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
	"github.com/tidings-go/tidings/internal/testenv"
)

// fake is a cluster in this process whose faults the test chooses. It has the topic "t" with one partition.
func fake(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "t")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func openFake(t *testing.T, c *kfake.Cluster, cfg kafka.Config) *kafka.Broker {
	t.Helper()
	b, err := kafka.Open(t.Context(), c.ListenAddrs(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// answers collects what done was told, by value.
type answers struct {
	mu   sync.Mutex // guards what follows
	errs map[string]error
}

// publish publishes values of one key, each by a call of its own.
func (a *answers) publish(b *kafka.Broker, values ...string) {
	for _, v := range values {
		b.Publish(context.Background(), []broker.Record{{Topic: "t", Key: "key", Value: []byte(v)}}, func(_ int, _ broker.Receipt, err error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.errs == nil {
				a.errs = map[string]error{}
			}
			a.errs[v] = err
		})
	}
}

// wait waits for n answers and returns the values that were not stored, in order.
func (a *answers) wait(t *testing.T, n int) (failed []string) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.errs) < n {
			return fmt.Errorf("%d of %d records are answered", len(a.errs), n)
		}
		return nil
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for v, err := range a.errs {
		if err != nil {
			failed = append(failed, v)
		}
	}
	slices.Sort(failed)
	return failed
}

// log reads everything that the topic has.
func log(t *testing.T, c *kfake.Cluster) []string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("t"), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	end := int(c.PartitionInfo("t", 0).HighWatermark)
	var values []string
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(values) < end && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// hold makes the cluster answer the next produce request only when the test says so, with err for each of its partitions.
func hold(c *kfake.Cluster, err *kerr.Error) (arrived <-chan struct{}, answer func()) {
	came, gone := make(chan struct{}), make(chan struct{})
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		produce, ok := req.(*kmsg.ProduceRequest)
		if !ok {
			return nil, nil, false
		}
		close(came)
		c.SleepControl(func() { <-gone })
		return refusal(produce, err), nil, true
	})
	return came, sync.OnceFunc(func() { close(gone) })
}

func refusal(req *kmsg.ProduceRequest, err *kerr.Error) *kmsg.ProduceResponse {
	resp := &kmsg.ProduceResponse{Version: req.Version}
	for i := range req.Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = req.Topics[i].Topic, req.Topics[i].TopicID
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode, p.BaseOffset = req.Topics[i].Partitions[j].Partition, err.Code, -1
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

func TestWhatFollowsABatchThatFailsForGoodFailsToo(t *testing.T) {
	t.Parallel()
	for _, warm := range []bool{true, false} {
		t.Run(fmt.Sprint("partition used before: ", warm), func(t *testing.T) {
			t.Parallel()
			c := fake(t)
			b := openFake(t, c, kafka.Config{})
			var a answers
			var before []string
			if warm {
				before = []string{"0"}
				a.publish(b, before...)
				a.wait(t, 1)
			}
			arrived, answer := hold(c, kerr.PolicyViolation)
			defer answer()
			a.publish(b, "1")
			<-arrived
			a.publish(b, "2", "3", "4")
			answer()
			if failed := a.wait(t, len(before)+4); !slices.Equal(failed, []string{"1", "2", "3", "4"}) {
				t.Errorf("the batch with 1 failed for good while 2, 3 and 4 waited; failed: %q", failed)
			}
			a.publish(b, "5", "6")
			a.wait(t, len(before)+6)
			if got := log(t, c); !slices.Equal(got, slices.Concat(before, []string{"5", "6"})) {
				t.Errorf("after the failure 5 and 6 were published; the topic has %q", got)
			}
		})
	}
}

// TestOvertakingIsNoticed is the control of the test above: with a client for each record nothing ties them together, and 2 is stored though 1 was not.
func TestOvertakingIsNoticed(t *testing.T) {
	t.Parallel()
	c := fake(t)
	arrived, answer := hold(c, kerr.PolicyViolation)
	defer answer()
	produce := func(value string) <-chan error {
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.DefaultProduceTopic("t"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		result := make(chan error, 1)
		cl.Produce(t.Context(), kgo.KeyStringRecord("key", value), func(_ *kgo.Record, err error) { result <- err })
		return result
	}
	first := produce("1")
	<-arrived
	second := produce("2")
	answer()
	if err := <-first; err == nil {
		t.Error("1 was to fail")
	}
	if err := <-second; err != nil {
		t.Errorf("2: %v", err)
	}
	if got := log(t, c); !slices.Equal(got, []string{"2"}) {
		t.Errorf("the topic was to have 2 without 1; it has %q", got)
	}
}

func TestABatchWithAnUnknownOutcomeIsStoredOnce(t *testing.T) {
	t.Parallel()
	c := fake(t)
	b := openFake(t, c, kafka.Config{})
	faults := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 3})
	var a answers
	var want []string
	for i := range 20 {
		v := fmt.Sprintf("%02d", i)
		want = append(want, v)
		a.publish(b, v)
	}
	if failed := a.wait(t, 20); len(failed) > 0 {
		t.Errorf("failed: %q", failed)
	}
	if got := log(t, c); !slices.Equal(got, want) || faults.Hits() != 3 {
		t.Errorf("after %d lost answers the topic has %q", faults.Hits(), got)
	}
}

func TestTransientErrorsAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, e := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.CoordinatorLoadInProgress} {
		t.Run(e.Message, func(t *testing.T) {
			t.Parallel()
			c := fake(t)
			b := openFake(t, c, kafka.Config{})
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: e, Count: 2})
			var a answers
			a.publish(b, "1", "2", "3")
			if failed := a.wait(t, 3); len(failed) > 0 {
				t.Errorf("failed: %v", a.errs)
			}
			if got := log(t, c); !slices.Equal(got, []string{"1", "2", "3"}) {
				t.Errorf("the topic has %q", got)
			}
		})
	}
}

// TestARecordAtFaultIsFound has a broker that refuses each batch with a certain record, and does not say which one it is.
func TestARecordAtFaultIsFound(t *testing.T) {
	t.Parallel()
	c := fake(t)
	b := openFake(t, c, kafka.Config{Compression: "none"})
	arrived, answer := hold(c, kerr.NotLeaderForPartition)
	defer answer()
	var a answers
	a.publish(b, "00")
	<-arrived
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1, When: func(req kmsg.Request) bool {
		produce, ok := req.(*kmsg.ProduceRequest)
		return ok && strings.Contains(string(produce.Topics[0].Partitions[0].Records), "bad")
	}})
	want := []string{"00"}
	for i := 1; i < 20; i++ {
		v := fmt.Sprintf("%02d", i)
		if i%7 == 3 {
			v = "bad " + v
		} else {
			want = append(want, v)
		}
		a.publish(b, v)
	}
	answer()
	if failed := a.wait(t, 20); !slices.Equal(failed, []string{"bad 03", "bad 10", "bad 17"}) {
		t.Errorf("failed: %q", failed)
	}
	for v, err := range a.errs {
		if strings.HasPrefix(v, "bad") && !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("%s failed with %v", v, err)
		}
	}
	if got := log(t, c); !slices.Equal(got, want) {
		t.Errorf("the topic has %q", got)
	}
}

func TestPublishTimeout(t *testing.T) {
	t.Parallel()
	c := fake(t)
	b := openFake(t, c, kafka.Config{PublishTimeout: 300 * time.Millisecond})
	var a answers
	a.publish(b, "1")
	a.wait(t, 1)
	faults := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	a.publish(b, "2", "3")
	a.wait(t, 3)
	for _, v := range []string{"2", "3"} {
		err := a.errs[v]
		if !errors.Is(err, kerr.NotEnoughReplicas) || !strings.Contains(err.Error(), "300ms") || !strings.Contains(err.Error(), c.ListenAddrs()[0]) {
			t.Errorf("the error should name the timeout, the cause and the brokers: %v", err)
		}
	}
	faults.Remove()
	a.publish(b, "4")
	a.wait(t, 4)
	if got := log(t, c); !slices.Equal(got, []string{"1", "4"}) {
		t.Errorf("the topic has %q", got)
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	c := fake(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "alice", "secret"), kfake.Superuser("PLAIN", "bob", "secret"))
	for _, test := range []struct {
		sasl kafka.SASL
		fits bool
	}{
		{kafka.SASL{Mechanism: "SCRAM-SHA-256", User: "alice", Password: "secret"}, true},
		{kafka.SASL{Mechanism: "PLAIN", User: "bob", Password: "secret"}, true},
		{kafka.SASL{Mechanism: "SCRAM-SHA-256", User: "alice", Password: "wrong"}, false},
		{kafka.SASL{Mechanism: "PLAIN", User: "bob", Password: "wrong"}, false},
	} {
		b, err := kafka.Open(t.Context(), c.ListenAddrs(), kafka.Config{SASL: test.sasl})
		if b != nil {
			_ = b.Close()
		}
		if (err == nil) != test.fits {
			t.Errorf("%+v: %v", test.sasl, err)
		}
		if !test.fits && err != nil && (!strings.Contains(err.Error(), "Config.SASL") || strings.Contains(err.Error(), "wrong")) {
			t.Errorf("the error should name the configuration, without the password: %v", err)
		}
	}
}
