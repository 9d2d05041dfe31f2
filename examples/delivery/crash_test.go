package main

import (
	"testing"

	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestNothingIsLostWhenItIsKilledEmbedded(t *testing.T) {
	t.Parallel()
	testKills(t, embeddedPlace(t), 3)
}

func TestNothingIsLostWhenItIsKilledOnNATSAndPostgreSQL(t *testing.T) {
	t.Parallel()
	testKills(t, place{testenv.NATS(t) + "?lease_ttl=2s", trial.Postgres(t, "delivery") + "&lease=2s"}, 2)
}

// testKills kills the program (SIGKILL) in the middle of its load, and starts it again on what is there. In the end nothing is lost, doubled or out of order.
func testKills(t *testing.T, p place, kills int) {
	t.Helper()
	if testenv.Soak() {
		kills *= 10
	}
	args := []string{"--broker", p.broker, "--store", p.store, "--env", trial.Name("delivery-"), "--addr", "127.0.0.1:0", "--audit-wait", "50ms", "-o", "json"}
	c := trial.Open(t, "", p.store)
	if err := makeTables(t.Context(), c.DB); err != nil {
		t.Fatal(err)
	}
	count := func() (n int64) {
		if err := c.DB.QueryRowContext(t.Context(), `SELECT count(*) FROM orders`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range kills {
		trial.KillAtWork(t, 20, count, append(args, "--load", "1000000")...)
	}
	s := trial.Summary[summary](t, append(args, "--load", "100")...)
	if !s.Fine() || s.Orders < int64(20*kills) || s.Events < 2*s.Orders {
		t.Errorf("%+v", s)
	}
	t.Logf("%+v", s)
}
