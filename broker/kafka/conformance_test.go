//go:build unix

package kafka_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/kafka"
)

// conformanceConfig is that of all clients of the conformance suite, in child processes too.
var conformanceConfig = kafka.Config{SessionTimeout: 6 * time.Second, PublishTimeout: 10 * time.Second}

func TestMain(m *testing.M) {
	if brokertest.Child(func(ctx context.Context, address string) (broker.Broker, func(), error) {
		b, err := kafka.Open(ctx, []string{address}, conformanceConfig)
		return b, func() { _ = b.Close() }, err
	}) {
		return
	}
	goleak.VerifyTestMain(m)
}

// The settings of a server that takes more than Kafka does if it is not told to, and lets only one user in at a second listener.
const conformanceSettings = `
message.max.bytes=16777216
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,GUARDED://127.0.0.1:@1@
advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,GUARDED://127.0.0.1:@1@
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_owner="right";
`

func TestConformance(t *testing.T) {
	s := startKafka(t, conformanceSettings)
	open := func(tb testing.TB, options ...kgo.Opt) (broker.Broker, func()) {
		tb.Helper()
		cfg := conformanceConfig
		cfg.Log = slog.New(slog.NewTextHandler(tb.Output(), nil))
		b, err := kafka.Open(tb.Context(), []string{s.address}, cfg, options...)
		if err != nil {
			tb.Fatal(err)
		}
		return b, func() { _ = b.Close() }
	}
	brokertest.Run(t, brokertest.Fixture{
		Column:         "kafka",
		Open:           func(tb testing.TB) (broker.Broker, func()) { tb.Helper(); return open(tb) },
		MaxRecordBytes: 16 << 20,
		AckWait:        conformanceConfig.SessionTimeout,
		HandOver:       30 * time.Second,
		Pause:          func(tb testing.TB) func() { tb.Helper(); return s.pause() },
		Restart:        func(tb testing.TB) { tb.Helper(); s.kill(); s.start() },
		Proxied: func(tb testing.TB) (*brokertest.Proxy, broker.Broker, func()) {
			tb.Helper()
			p := brokertest.StartProxy(tb, s.address)
			b, closeClient := open(tb, through(p))
			return p, b, closeClient
		},
		Stranger: func(ctx context.Context, user, password string) (string, error) {
			address := "127.0.0.1:" + s.ports[0]
			b, err := kafka.Open(ctx, []string{address}, kafka.Config{SASL: kafka.SASL{Mechanism: "PLAIN", User: user, Password: password}})
			if err == nil {
				err = b.Close()
			}
			return address, err
		},
		URL: func() string { return s.address },
	})
}
