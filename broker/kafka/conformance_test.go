package kafka_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/kafka"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	servers := seeds(t)
	network := newWire()
	brokertest.Run(t, brokertest.Fixture{
		Open: func(tb testing.TB) (broker.Broker, func()) {
			tb.Helper()
			b, err := kafka.Open(tb.Context(), servers, kafka.Config{SessionTimeout: 6 * time.Second, PublishTimeout: 10 * time.Second},
				network.option())
			if err != nil {
				tb.Fatal(err)
			}
			return b, func() { _ = b.Close() }
		},
		MaxRecordBytes: 1 << 20,
		AckWait:        6 * time.Second,
		Pause:          network.pause,
	})
}
