package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestDemoOnNATS(t *testing.T) {
	t.Parallel()
	server := startNATS(t)
	demoOn(t, server.url, server)
}

// The server that leads the topic is killed.
func TestDemoOnANATSCluster(t *testing.T) {
	t.Parallel()
	cluster := startNATSCluster(t)
	demoOn(t, cluster.url, cluster)
}

func TestDemoOnRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	demoOn(t, server.url, server)
}

func TestDemoOnKafka(t *testing.T) {
	t.Parallel()
	server := startKafka(t)
	demoOn(t, server.url, server)
}

// demoOn runs platforms on a broker, which is killed in the middle of the first run. They leave each other alone.
func demoOn(t *testing.T, url string, server broken) {
	t.Helper()
	first, total := filepath.Join(t.TempDir(), "first"), 300
	if testenv.Soak() {
		total = 20_000
	}
	cmd, out, status := command(t.Context(), "demo", "--broker", url, "--data", first, "--bookings", strconv.Itoa(total), "-o", "json")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitEvents(t, url, uint64(total))
	server.kill()
	server.run()
	err := cmd.Wait()
	r := result{code: cmd.ProcessState.ExitCode(), out: out.String(), status: status.String()}
	if s := r.summary(t); err != nil || s.Bookings != int64(total) {
		t.Fatalf("the broker was killed in the middle: %v, %+v\n%s", err, s, r.status)
	}

	r = tidings(t, "", "demo", "--broker", url, "--bookings", "50", "-o", "json")
	if s := r.summary(t); r.code != 0 || s.Bookings != 50 || !strings.Contains(r.status, `begin with "tickets-`) {
		t.Errorf("another platform on the broker: exit %d, %+v\n%s", r.code, s, r.status)
	}
	r = tidings(t, "", "demo", "--broker", url, "--data", first, "--bookings", strconv.Itoa(total+50), "-o", "json")
	if s := r.summary(t); r.code != 0 || s.Bookings != int64(total)+50 || strings.Contains(r.status, "begin with") {
		t.Errorf("the first platform goes on: exit %d, %+v\n%s", r.code, s, r.status)
	}
	r = tidings(t, "", "demo", "--broker", "memory:", "--data", first, "--bookings", "1")
	if r.code != exitFailure || !strings.Contains(r.status, "on another broker") {
		t.Errorf("its database on another broker: exit %d\n%s", r.code, r.status)
	}
}

// awaitEvents waits until the platform with the plain names has published some events.
func awaitEvents(t *testing.T, url string, events uint64) {
	t.Helper()
	b, err := connect.Broker(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	testenv.Eventually(t, time.Minute, func() error {
		states, err := b.Topics(t.Context(), broker.Inspect, broker.Topic{Name: "events"})
		if err == nil && states[0].Messages < events {
			err = fmt.Errorf("%d events", states[0].Messages)
		}
		return err
	})
}

// What is sabotaged is seen on a real broker too.
func TestTheSummaryShowsSabotageOnABroker(t *testing.T) {
	t.Parallel()
	r := tidings(t, "", "demo", "--broker", startNATS(t).url, "--bookings", "100", "-o", "json", "--sabotage", "leak")
	if s := r.summary(t); r.code != exitFailure || s.InternalInLake == 0 {
		t.Errorf("exit %d, summary %+v", r.code, s)
	}
}
