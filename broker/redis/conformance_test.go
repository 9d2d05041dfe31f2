//go:build unix

package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/redis"
)

// conformanceConfig is that of all clients of the conformance suite, in child processes too.
var conformanceConfig = redis.Config{LeaseTTL: 4 * time.Second, PublishTimeout: 5 * time.Second, MaxRecordBytes: 1 << 20}

func TestConformance(t *testing.T) {
	s := startServer(t, durable...)
	f := fixture(s.url)
	f.Column = "redis"
	f.Pause = func(tb testing.TB) func() { tb.Helper(); return s.pause() }
	f.Restart = func(tb testing.TB) { tb.Helper(); s.kill(); s.start() }
	f.URL = s.url
	f.Proxied = func(tb testing.TB) (*brokertest.Proxy, broker.Broker, func()) {
		tb.Helper()
		proxy := brokertest.StartProxy(tb, s.address())
		b, closeClient := fixture(func() string { return "redis://" + proxy.Address() }).Open(tb)
		return proxy, b, closeClient
	}
	guarded := startServer(t, "--requirepass", "right")
	f.Stranger = func(ctx context.Context, user, password string) (string, error) {
		b, err := redis.Open(ctx, fmt.Sprintf("redis://%s:%s@%s", user, password, guarded.address()), redis.Config{})
		if err == nil {
			err = b.Close()
		}
		return guarded.address(), err
	}
	brokertest.Run(t, f)
}

func fixture(url func() string) brokertest.Fixture {
	return brokertest.Fixture{
		Open: func(tb testing.TB) (broker.Broker, func()) {
			tb.Helper()
			cfg := conformanceConfig
			cfg.Log = slog.New(slog.NewTextHandler(tb.Output(), nil))
			b, err := redis.Open(tb.Context(), url(), cfg)
			if err != nil {
				tb.Fatal(err)
			}
			return b, func() {
				if err := b.Close(); err != nil {
					tb.Error(err)
				}
			}
		},
		MaxRecordBytes: conformanceConfig.MaxRecordBytes,
		AckWait:        conformanceConfig.LeaseTTL,
		HandOver:       30 * time.Second,
	}
}
