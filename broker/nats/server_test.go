//go:build unix

package nats_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/nats"
)

func TestMain(m *testing.M) {
	if brokertest.Child(func(ctx context.Context, url string) (broker.Broker, func(), error) {
		b, err := nats.Open(ctx, url, conformanceConfig)
		return b, func() { _ = b.Close() }, err
	}) {
		return
	}
	if len(os.Args) == 4 && os.Args[1] == serveArgument {
		port, err := strconv.Atoi(os.Args[2])
		if err != nil {
			panic(err)
		}
		serve(port, os.Args[3])
		return
	}
	var options []goleak.Option
	for _, f := range []string{".(*fileStore).flushStreamStateLoop", ".(*msgBlock).flushLoop", "/ats.Register.func1"} {
		// A nats-server that was shut down leaves these behind for a while, or for good.
		options = append(options, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server"+f))
	}
	goleak.VerifyTestMain(m, options...)
}

// natsServer is a nats-server in this process. It can be shut down and started again on the same data and port.
type natsServer struct {
	t    testing.TB
	opts server.Options
	now  *server.Server
}

func startServer(tb testing.TB, change ...func(*server.Options)) *natsServer {
	tb.Helper()
	s := &natsServer{t: tb, opts: server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: tb.TempDir(), SyncAlways: true, NoLog: true, NoSigs: true, MaxPayload: 1 << 20,
	}}
	for _, c := range change {
		c(&s.opts)
	}
	s.start()
	s.opts.Port = s.now.Addr().(*net.TCPAddr).Port
	tb.Cleanup(s.stop)
	return s
}

func (s *natsServer) start() {
	s.t.Helper()
	opts := s.opts
	now, err := server.NewServer(&opts)
	if err != nil {
		s.t.Fatalf("start nats-server: %v", err)
	}
	now.Start()
	if !now.ReadyForConnections(20 * time.Second) {
		s.t.Fatal("nats-server did not come up")
	}
	s.now = now
}

func (s *natsServer) stop() {
	s.now.Shutdown()
	s.now.WaitForShutdown()
}

func (s *natsServer) restart() {
	s.stop()
	s.start()
}

func (s *natsServer) url() string { return s.now.ClientURL() }

func (s *natsServer) address() string { return s.now.Addr().String() }

// through is the URL of the server behind a proxy.
func through(p *brokertest.Proxy) string { return "nats://" + p.Address() }

// open returns a broker on the server, which is closed at the end of the test.
func open(tb testing.TB, url string, cfg nats.Config) *nats.Broker {
	tb.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	b, err := nats.Open(tb.Context(), url, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

var _ broker.Broker = (*nats.Broker)(nil)
