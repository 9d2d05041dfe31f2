package memory_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	var down atomic.Bool
	server := memory.New(memory.Config{Fault: func(op, _ string) error {
		if down.Load() && (op == "publish" || op == "fetch" || op == "settle") {
			return errors.New("the server is down")
		}
		return nil
	}})
	brokertest.Run(t, brokertest.Fixture{
		Column: "memory",
		Open: func(tb testing.TB) (broker.Broker, func()) {
			tb.Helper()
			b := server.Connect()
			return b, func() { b.Close() }
		},
		MaxRecordBytes: 1 << 20,
		Restart: func(tb testing.TB) {
			tb.Helper()
			down.Store(true)
			defer down.Store(false)
			<-time.After(50 * time.Millisecond)
		},
		Missing: map[brokertest.Need]string{
			brokertest.NeedHeap:      "the records are in the service's own memory",
			brokertest.NeedPause:     "a server in the same process is never deaf",
			brokertest.NeedProxied:   "there is no network",
			brokertest.NeedStranger:  "there are no users",
			brokertest.NeedProcesses: "the broker lives in one process",
		},
	})
}
