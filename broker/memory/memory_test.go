package memory_test

import (
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/memory"
)

func TestConformance(t *testing.T) {
	first := memory.New(memory.Config{})
	brokertest.Run(t, brokertest.Fixture{
		Open: func(tb testing.TB) (broker.Broker, func()) {
			tb.Helper()
			b := first.Connect()
			return b, func() { b.Close() }
		},
		MaxRecordBytes: 1 << 20,
		Caps:           brokertest.Caps{ServerHeap: true},
	})
}
