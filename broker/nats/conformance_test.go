//go:build unix

package nats_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestConformanceInProcess(t *testing.T) {
	s := startServer(t)
	f := fixture(s.url)
	f.Missing = inThisProcess()
	f.Restart = func(tb testing.TB) { tb.Helper(); s.restart() }
	brokertest.Run(t, f)
}

func TestConformanceKilled(t *testing.T) {
	p := startProcess(t)
	f := fixture(p.url)
	f.Pause = func(tb testing.TB) func() { tb.Helper(); return p.pause() }
	f.Restart = func(tb testing.TB) { tb.Helper(); p.kill(); p.start() }
	brokertest.Run(t, f)
}

func TestConformanceServer(t *testing.T) {
	url := testenv.NATS(t)
	brokertest.Run(t, fixture(func() string { return url }))
}

func fixture(url func() string) brokertest.Fixture {
	return brokertest.Fixture{
		Open: func(tb testing.TB) (broker.Broker, func()) {
			tb.Helper()
			b, err := nats.Open(tb.Context(), url(), nats.Config{LeaseTTL: 6 * time.Second, PublishTimeout: 5 * time.Second, Log: slog.New(slog.NewTextHandler(tb.Output(), nil))})
			if err != nil {
				tb.Fatal(err)
			}
			return b, func() {
				if err := b.Close(); err != nil {
					tb.Error(err)
				}
			}
		},
		MaxRecordBytes: 1 << 20,
		HandOver:       30 * time.Second,
	}
}

// inThisProcess says what can't be measured of a server that runs in the test's process.
func inThisProcess() map[brokertest.Need]string {
	return map[brokertest.Need]string{
		brokertest.NeedGoroutines: "the server's goroutines are among those of the test",
		brokertest.NeedHeap:       "the server's memory is the test's",
	}
}
