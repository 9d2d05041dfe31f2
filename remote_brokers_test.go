package tidings_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
	"github.com/tidings-go/tidings/embedded"
	"github.com/tidings-go/tidings/internal/testenv"
)

// openNATS is a NATS in this process.
func openNATS(t *testing.T) broker.Broker {
	t.Helper()
	node, err := embedded.Open(t.Context(), t.TempDir(), embedded.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	return node.Broker()
}

// openKafka is a client of the Kafka that all tests share.
func openKafka(t *testing.T) broker.Broker {
	t.Helper()
	b, err := kafka.Open(t.Context(), strings.Split(strings.TrimPrefix(testenv.Kafka(t), "kafka://"), ","), kafka.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestCallOverNATS(t *testing.T) {
	t.Parallel()
	b := openNATS(t)
	caller := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote, c.Service = b, true, "mailer" })
	caller.Calls(lookup, place)
	defer run(t, caller)()
	start := time.Now()
	if _, err := lookup.Call(t.Context(), caller, getOrder{"1"}); !errors.Is(err, tidings.CodeUnserved) || time.Since(start) > callPatience {
		t.Errorf("nobody serves: %v after %v", err, time.Since(start))
	}
	s := newTill(t, inTransaction, func(c *tidings.Config) { c.Broker, c.Remote = b, true })
	s.app.Serve(tidings.Serve(lookup, answer))
	stop := run(t, s.app)
	if got, err := lookup.Call(t.Context(), caller, getOrder{"1"}); err != nil || got.Total != 7 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := lookup.Call(t.Context(), caller, getOrder{"missing"}); !errors.Is(err, tidings.CodeNotFound) {
		t.Errorf("missing: %v", err)
	}
	for range 2 {
		if n, err := place.Call(t.Context(), caller, order{"a", 1}, tidings.Once("key")); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	states, err := s.app.Topics(t.Context())
	if err != nil || slices.ContainsFunc(states, func(s broker.TopicState) bool { return strings.Contains(s.Name, "requests") }) {
		t.Errorf("topics %v, %v: requests are not kept", states, err)
	}
	stop()
	start = time.Now()
	if _, err := lookup.Call(t.Context(), caller, getOrder{"1"}); !errors.Is(err, tidings.CodeUnserved) || time.Since(start) > callPatience {
		t.Errorf("the provider has gone: %v after %v", err, time.Since(start))
	}
}

// callPatience is less than the ten seconds after which a call gives up by itself.
const callPatience = 5 * time.Second

func TestKafkaCarriesNoRequests(t *testing.T) {
	t.Parallel()
	b := openKafka(t)
	app := newApp(t, func(c *tidings.Config) { c.Broker, c.Remote, c.Service = b, true, "requests-"+uuid.NewString()[:8] })
	if err := app.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "Config.Remote: requests between processes are not possible on Kafka") {
		t.Errorf("Run = %v", err)
	}
}
