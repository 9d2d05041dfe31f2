package tickets_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/tickets"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store/postgres"
)

// newDatabase makes an empty database, and drops it after the test.
func newDatabase(t *testing.T) string {
	t.Helper()
	server, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	name := "tickets_" + strings.ToLower(rand.Text()[:12])
	admin := openPostgres(t, server.String())
	if _, err := admin.DB().ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.DB().ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	server.Path = "/" + name
	return server.String()
}

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
	s := openPostgres(t, newDatabase(t))
	p := startOn(t, s, s.DB(), nil)
	if err := p.Fill(t.Context(), 100, nil); err != nil {
		t.Fatal(err)
	}
	p.quiet()
	want := tickets.Summary{Bookings: 100, Refunds: 10, PublicEvents: 410, InternalEvents: 410, LakeRows: 410, ReadModelRows: 100}
	if got := p.report(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Replicas that begin together on an empty database do not stumble over each other's tables, and agree on their name at the broker.
func TestReplicasBeginTogether(t *testing.T) {
	url := newDatabase(t)
	b := memory.New(memory.Config{})
	defer func() { _ = b.Close() }()
	const replicas = 6
	names := make(chan string, replicas)
	var together sync.WaitGroup
	for range replicas {
		s := openPostgres(t, url)
		together.Go(func() {
			p, err := tickets.New(t.Context(), tickets.Config{Broker: b, Store: s, DB: s.DB(), Shared: true, Log: slog.New(slog.DiscardHandler)})
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
