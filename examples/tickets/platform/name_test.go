package platform_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/store/sqlite"
)

// The first platform on a broker has the plain names, a later one its own; each database remembers which, and does not go to another broker.
func TestPlatformsOnOneBroker(t *testing.T) {
	dir := t.TempDir()
	one, two := memory.New(memory.Config{}), memory.New(memory.Config{})
	defer func() { _, _ = one.Close(), two.Close() }()
	open := func(b broker.Broker, file string) (*platform.Platform, error) {
		s, err := sqlite.Open(t.Context(), filepath.Join(dir, file), sqlite.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return platform.New(t.Context(), platform.Config{Broker: b, Store: s, DB: s.DB(), Shared: true, Log: slog.New(slog.DiscardHandler)})
	}
	name := func(b broker.Broker, file string) string {
		p, err := open(b, file)
		if err != nil {
			t.Fatal(err)
		}
		return p.Name()
	}
	later := name(one, "a.db")
	if later != "tickets" {
		t.Errorf("the first platform is called %q", later)
	}
	later = name(one, "b.db")
	if !strings.HasPrefix(later, "tickets-") {
		t.Errorf("the second platform is called %q", later)
	}
	if first, second := name(one, "a.db"), name(one, "b.db"); first != "tickets" || second != later {
		t.Errorf("later they are called %q and %q", first, second)
	}
	if _, err := open(two, "a.db"); err == nil || !strings.Contains(err.Error(), "another broker") {
		t.Errorf("the first database on another broker: %v", err)
	}
	// Events that nobody has registered for are somebody's all the same.
	if _, err := two.Topics(t.Context(), broker.Apply, broker.Topic{Name: "events"}); err != nil {
		t.Fatal(err)
	}
	two.Publish(t.Context(), []broker.Record{{Topic: "events"}}, func(int, broker.Receipt, error) {})
	if got := name(two, "c.db"); got == "tickets" {
		t.Error("a platform took over events of another one")
	}
}
