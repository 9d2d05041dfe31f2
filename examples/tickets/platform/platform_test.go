package platform_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFlow(t *testing.T) {
	p := start(t, nil)
	if err := p.Fill(t.Context(), 200, nil); err != nil {
		t.Fatal(err)
	}
	p.quiet()
	want := platform.Summary{Bookings: 200, Refunds: 20, PublicEvents: 820, InternalEvents: 820, LakeRows: 820, ReadModelRows: 200}
	if got := p.report(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if problems := want.Problems(); problems != nil {
		t.Errorf("problems: %q", problems)
	}
}

// A second run on the same data makes what is missing and no more.
func TestFillGoesOn(t *testing.T) {
	p := start(t, nil)
	for _, n := range []int64{15, 15, 31} {
		if err := p.Fill(t.Context(), n, nil); err != nil {
			t.Fatal(err)
		}
		p.quiet()
		if got := p.report(); got.Bookings != n || got.Refunds != n/10 || got.Problems() != nil {
			t.Errorf("filled up to %d: %+v, %q", n, got, got.Problems())
		}
	}
}

func TestRefunds(t *testing.T) {
	p := start(t, nil)
	b, err := p.Book(t.Context(), platform.Request{Show: "hamlet", Customer: "Ada", Seats: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Refund(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	if err := p.Refund(t.Context(), b.ID); !errors.Is(err, platform.ErrRefunded) {
		t.Errorf("the second refund: %v", err)
	}
	if err := p.Refund(t.Context(), "nothing"); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("the refund of nothing: %v", err)
	}
	p.quiet()
	if got := p.report(); got.Bookings != 1 || got.Refunds != 1 || got.Problems() != nil {
		t.Errorf("got %+v, %q", got, got.Problems())
	}
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := platform.New(t.Context(), platform.Config{}); err == nil {
		t.Error("a platform without broker and store was made")
	}
}

// BenchmarkFlow measures a booking's whole way: eight transactions and as many messages.
func BenchmarkFlow(b *testing.B) {
	p := start(b, nil)
	b.ResetTimer()
	if err := p.Fill(b.Context(), int64(b.N), nil); err != nil {
		b.Fatal(err)
	}
	p.quiet()
}

// running is a platform that runs, on a broker in memory.
type running struct {
	*platform.Platform
	t      testing.TB
	db     *sql.DB
	broker broker.Broker
	stop   func()
}

// start runs a platform on SQLite; wrap, which may be nil, puts something around its broker.
func start(tb testing.TB, wrap func(broker.Broker) broker.Broker) *running {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "tickets.db"), sqlite.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return startOn(tb, s, s.DB(), wrap)
}

// startOn runs a platform on a store.
func startOn(tb testing.TB, s store.Store, db *sql.DB, wrap func(broker.Broker) broker.Broker) *running {
	tb.Helper()
	m := memory.New(memory.Config{})
	tb.Cleanup(func() { _ = m.Close() })
	var b broker.Broker = m
	if wrap != nil {
		b = wrap(b)
	}
	log := slog.New(slog.NewTextHandler(tb.Output(), nil))
	p, err := platform.New(tb.Context(), platform.Config{Broker: b, Store: s, DB: db, Addr: "127.0.0.1:0", Log: log})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(stop)
	select {
	case <-p.App().Ready():
	case err := <-done:
		done <- nil
		tb.Fatalf("the platform ended: %v", err)
	}
	return &running{p, tb, db, b, stop}
}

func (p *running) quiet() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	if err := p.Quiet(ctx, nil); err != nil {
		p.t.Fatal(err)
	}
}

func (p *running) report() platform.Summary {
	p.t.Helper()
	s, err := p.Report(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}
