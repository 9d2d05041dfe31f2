package main

import (
	"strconv"
	"testing"

	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestNothingIsLostWhenItIsKilledOnRedis(t *testing.T) {
	t.Parallel()
	testKills(t, trial.SQLite(t, "tickets.db"), 3)
}

func TestNothingIsLostWhenItIsKilledOnRedisAndPostgreSQL(t *testing.T) {
	t.Parallel()
	testKills(t, trial.Postgres(t, "tickets")+"&lease=2s", 2)
}

// testKills kills the program (SIGKILL) in the middle of its load, and starts it again on what is there. In the end nothing is lost, doubled or out of order.
func testKills(t *testing.T, store string, kills int) {
	t.Helper()
	if testenv.Soak() {
		kills *= 10
	}
	args := []string{"--broker", trial.Redis(t) + "?lease_ttl=2s", "--store", store}
	c := trial.Open(t, "memory:", store)
	if _, err := platform.New(t.Context(), platform.Config{Broker: c.Broker, Store: c.Store, DB: c.DB}); err != nil { // makes the tables
		t.Fatal(err)
	}
	count := func() (n int64) {
		if err := c.DB.QueryRowContext(t.Context(), `SELECT count(*) FROM bookings`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range kills {
		trial.KillAtWork(t, 30, count, append(args, "--bookings", "1000000")...)
	}
	bookings := count()
	if bookings < int64(30*kills) {
		t.Errorf("%d bookings outlived %d kills", bookings, kills)
	}
	checkSummary(t, load(t, bookings+100, args...), bookings+100)
}

// load runs the program until there are so many bookings, and all that follows from them has happened.
func load(t *testing.T, bookings int64, args ...string) platform.Summary {
	t.Helper()
	s := trial.Summary[platform.Summary](t, append(args, "--bookings", strconv.FormatInt(bookings, 10), "-o", "json")...)
	t.Logf("%+v", s)
	return s
}
