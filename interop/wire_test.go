package interop_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
)

// patience is how long a busy machine may take.
const patience = 2 * time.Minute

// wire is a message as clients see it that know neither tidings nor CloudEvents.
type wire struct {
	Headers map[string]string `json:"headers"`
	Key     string            `json:"key"` // Kafka's
	Value   []byte            `json:"value"`
}

// server is a real server, reached by its own client. Topics have one partition.
type server interface {
	name() string
	url() string
	// read returns the first n messages of a topic, and write adds some.
	read(t *testing.T, topic string, n int) []wire
	write(t *testing.T, topic string, messages []wire)
	remove(t *testing.T, topic string)
}

func servers(t *testing.T) []server {
	t.Helper()
	return []server{newKafka(t), newNATS(t), newRedis(t)}
}

func newName() string { return "interop-" + strings.ToLower(rand.Text()[:10]) }

func header(name, value string) broker.Header { return broker.Header{Name: name, Value: value} }

type kafkaServer struct {
	address string
	client  *kgo.Client
}

func newKafka(t *testing.T) *kafkaServer {
	t.Helper()
	k := &kafkaServer{address: testenv.Kafka(t)}
	var err error
	if k.client, err = kgo.NewClient(k.seeds()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.client.Close)
	return k
}

func (k *kafkaServer) seeds() kgo.Opt {
	return kgo.SeedBrokers(strings.Split(strings.TrimPrefix(k.address, "kafka://"), ",")...)
}
func (k *kafkaServer) name() string { return "kafka" }
func (k *kafkaServer) url() string  { return k.address }

func (k *kafkaServer) read(t *testing.T, topic string, n int) []wire {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	reader, err := kgo.NewClient(k.seeds(), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var messages []wire
	for len(messages) < n {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d messages: %v", len(messages), n, err)
		}
		for _, r := range fetches.Records() {
			w := wire{Headers: map[string]string{}, Key: string(r.Key), Value: r.Value}
			for _, h := range r.Headers {
				w.Headers[h.Key] = string(h.Value)
			}
			messages = append(messages, w)
		}
	}
	return messages
}

func (k *kafkaServer) write(t *testing.T, topic string, messages []wire) {
	t.Helper()
	for _, w := range messages {
		r := &kgo.Record{Topic: topic, Value: w.Value}
		if w.Key != "" {
			r.Key = []byte(w.Key)
		}
		for name, value := range w.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
		if err := k.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func (k *kafkaServer) remove(t *testing.T, topic string) {
	t.Helper()
	if _, err := kadm.NewClient(k.client).DeleteTopic(context.WithoutCancel(t.Context()), topic); err != nil {
		t.Error(err)
	}
}

type natsServer struct {
	address string
	js      nats.JetStreamContext
}

func newNATS(t *testing.T) *natsServer {
	t.Helper()
	n := &natsServer{address: testenv.NATS(t)}
	nc, err := nats.Connect(n.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if n.js, err = nc.JetStream(); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *natsServer) name() string { return "nats" }
func (n *natsServer) url() string  { return n.address }

func (n *natsServer) read(t *testing.T, topic string, count int) []wire {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := n.js.SubscribeSync("tidings.t."+topic+".0", nats.OrderedConsumer(), nats.Context(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Unsubscribe() }() // the connection ends with the test
	var messages []wire
	for len(messages) < count {
		m, err := s.NextMsgWithContext(ctx)
		if err != nil {
			t.Fatalf("%d of %d messages: %v", len(messages), count, err)
		}
		w := wire{Headers: map[string]string{}, Value: m.Data}
		for name, values := range m.Header {
			w.Headers[name] = values[0]
		}
		messages = append(messages, w)
	}
	return messages
}

func (n *natsServer) write(t *testing.T, topic string, messages []wire) {
	t.Helper()
	for _, w := range messages {
		m := &nats.Msg{Subject: "tidings.t." + topic + ".0", Header: nats.Header{}, Data: w.Value}
		for name, value := range w.Headers {
			m.Header[name] = []string{value}
		}
		if _, err := n.js.PublishMsg(m, nats.Context(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}

func (n *natsServer) remove(t *testing.T, topic string) {
	t.Helper()
	if err := n.js.DeleteStream("tidings_" + topic); err != nil {
		t.Error(err)
	}
}

type redisServer struct {
	address string
	client  *redis.Client
}

func newRedis(t *testing.T) *redisServer {
	t.Helper()
	r := &redisServer{address: testenv.Redis(t)}
	options, err := redis.ParseURL(r.address)
	if err != nil {
		t.Fatal(err)
	}
	r.client = redis.NewClient(options)
	t.Cleanup(func() { _ = r.client.Close() }) // nothing is in hand
	return r
}

func (r *redisServer) name() string { return "redis" }
func (r *redisServer) url() string  { return r.address }

func (r *redisServer) read(t *testing.T, topic string, n int) []wire {
	t.Helper()
	var messages []wire
	testenv.Eventually(t, patience, func() error {
		entries, err := r.client.XRange(t.Context(), "tidings:{"+topic+"/0}", "-", "+").Result()
		if err != nil || len(entries) < n {
			return errMissing(len(entries), n, err)
		}
		messages = nil
		for _, entry := range entries {
			w := wire{Headers: map[string]string{}}
			for name, value := range entry.Values {
				text, ok := value.(string)
				if !ok {
					t.Fatalf("field %s is a %T", name, value)
				}
				if name == "data" {
					w.Value = []byte(text)
				} else {
					w.Headers[name] = text
				}
			}
			messages = append(messages, w)
		}
		return nil
	})
	return messages
}

func (r *redisServer) write(t *testing.T, topic string, messages []wire) {
	t.Helper()
	for _, w := range messages {
		fields := map[string]any{"data": w.Value}
		for name, value := range w.Headers {
			fields[name] = value
		}
		if err := r.client.XAdd(t.Context(), &redis.XAddArgs{Stream: "tidings:{" + topic + "/0}", Values: fields}).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *redisServer) remove(t *testing.T, topic string) {
	t.Helper()
	if err := r.client.Del(context.WithoutCancel(t.Context()), "tidings:{"+topic+"/0}", "tidings:topic:"+topic).Err(); err != nil {
		t.Error(err)
	}
}
