package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestNothingIsLostWhenItIsKilledEmbedded(t *testing.T) {
	t.Parallel()
	testKills(t, embeddedPlace(t), 3)
}

func TestNothingIsLostWhenItIsKilledOnNATSAndPostgreSQL(t *testing.T) {
	t.Parallel()
	testKills(t, place{testenv.NATS(t) + "?lease_ttl=2s", newDatabase(t)}, 2)
}

// testKills kills the program (SIGKILL) in the middle of its load, and starts it again on what is there. In the end nothing is lost, doubled or out of order.
func testKills(t *testing.T, p place, kills int) {
	t.Helper()
	if testenv.Soak() {
		kills *= 10
	}
	args := []string{"--broker", p.broker, "--store", p.store, "--env", newEnv(), "--addr", "127.0.0.1:0", "--audit-wait", "50ms", "-o", "json"}
	c, err := connect.Open(t.Context(), connect.Config{Store: p.store, SQL: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err = makeTables(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	count := func() (n int64) {
		if err := c.DB.QueryRowContext(t.Context(), `SELECT count(*) FROM orders`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range kills {
		before := count()
		cmd := program(t.Context(), append(args, "--load", "1000000")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, time.Minute, func() error {
			if n := count() - before; n < 20 {
				return fmt.Errorf("%d orders in this life", n)
			}
			return nil
		})
		<-time.After(rand.N(200 * time.Millisecond))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if cmd.Wait() == nil {
			t.Error("it ended before it was killed")
		}
	}
	s := finish(t, append(args, "--load", "100")...)
	if !s.fine() || s.Orders < int64(20*kills) || s.Events < 2*s.Orders {
		t.Errorf("%+v", s)
	}
	t.Logf("%+v", s)
}
