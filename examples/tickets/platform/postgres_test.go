package platform_test

import (
	"log/slog"
	"sync"
	"testing"

	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/store/postgres"
)

func openPostgres(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, postgres.Config{SQL: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// The platform is the same on PostgreSQL.
func TestFlowOnPostgreSQL(t *testing.T) {
	s := openPostgres(t, trial.Postgres(t, "tickets"))
	p := startOn(t, s, s.DB(), nil)
	if err := p.Fill(t.Context(), 100, nil); err != nil {
		t.Fatal(err)
	}
	p.quiet()
	want := platform.Summary{Bookings: 100, Refunds: 10, PublicEvents: 410, InternalEvents: 410, LakeRows: 410, ReadModelRows: 100}
	if got := p.report(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Replicas that begin together on an empty database do not stumble over each other's tables, and agree on their name at the broker.
func TestReplicasBeginTogether(t *testing.T) {
	url := trial.Postgres(t, "tickets")
	b := memory.New(memory.Config{})
	defer func() { _ = b.Close() }()
	const replicas = 6
	names := make(chan string, replicas)
	var together sync.WaitGroup
	for range replicas {
		s := openPostgres(t, url)
		together.Go(func() {
			p, err := platform.New(t.Context(), platform.Config{Broker: b, Store: s, DB: s.DB(), Shared: true, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Error(err)
				names <- ""
				return
			}
			names <- p.Name()
		})
	}
	together.Wait()
	first := <-names
	for range replicas - 1 {
		if name := <-names; name != first {
			t.Errorf("one replica is called %q, another %q", first, name)
		}
	}
}
