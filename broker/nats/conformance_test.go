//go:build unix

package nats_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/internal/testenv"
)

// conformanceConfig is that of all clients of the conformance suite, in child processes too.
var conformanceConfig = nats.Config{LeaseTTL: 6 * time.Second, PublishTimeout: 10 * time.Second}

// The server of package embedded, which is in the process of the service.
func TestConformanceInProcess(t *testing.T) {
	const limit = 8 << 20
	s := startServer(t, func(o *server.Options) { o.MaxPayload = limit })
	f := fixture(s.url)
	f.Column = "embedded-nats"
	f.MaxRecordBytes = limit
	f.AckWait = conformanceConfig.LeaseTTL
	f.Restart = func(tb testing.TB) { tb.Helper(); s.restart() }
	f.Missing = inThisProcess()
	f.Missing[brokertest.NeedPause] = "a server in the same process is never deaf"
	f.Missing[brokertest.NeedProxied] = "there is no network"
	f.Missing[brokertest.NeedStranger] = "nobody else is let in"
	f.Missing[brokertest.NeedProcesses] = "the server lives in the service's process"
	brokertest.Run(t, f)
}

func TestConformanceKilled(t *testing.T) {
	p := startProcess(t)
	f := fixture(p.url)
	f.Column = "nats"
	f.MaxRecordBytes = processLimit
	f.AckWait = conformanceConfig.LeaseTTL
	f.Pause = func(tb testing.TB) func() { tb.Helper(); return p.pause() }
	f.Restart = func(tb testing.TB) { tb.Helper(); p.kill(); p.start() }
	f.URL = p.url
	f.Proxied = func(tb testing.TB) (*brokertest.Proxy, broker.Broker, func()) {
		tb.Helper()
		proxy := brokertest.StartProxy(tb, p.address())
		b, closeClient := fixture(func() string { return through(proxy) }).Open(tb)
		return proxy, b, closeClient
	}
	guarded := startServer(t, func(o *server.Options) { o.Username, o.Password = "owner", "right" })
	f.Stranger = func(ctx context.Context, user, password string) (string, error) {
		b, err := nats.Open(ctx, fmt.Sprintf("nats://%s:%s@%s", user, password, guarded.address()), nats.Config{})
		if err == nil {
			err = b.Close()
		}
		return guarded.address(), err
	}
	brokertest.Run(t, f)
}

// A server that other tests use at the same time.
func TestConformanceServer(t *testing.T) {
	url := testenv.NATS(t)
	brokertest.Run(t, fixture(func() string { return url }))
}

func fixture(url func() string) brokertest.Fixture {
	return brokertest.Fixture{
		Open: func(tb testing.TB) (broker.Broker, func()) {
			tb.Helper()
			cfg := conformanceConfig
			cfg.Log = slog.New(slog.NewTextHandler(tb.Output(), nil))
			b, err := nats.Open(tb.Context(), url(), cfg)
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
		brokertest.NeedGoroutines: "the server's goroutines are the service's",
		brokertest.NeedHeap:       "the server's memory is the service's",
	}
}
