// Package testenv tells tests where the real servers are, and holds the few helpers that all tests share.
//
// A test that needs a server asks for it by name and gets its URL:
//
//	nc, err := nats.Connect(testenv.NATS(t))
//
// Where there is no server, the test is skipped with a message that names the remedy; with CI=true it fails, because a
// green run that has skipped half of the tests promises what nobody checked. "scripts/services up" starts the servers,
// and "make test" does all of it.
//
// This is the only package besides cmd that reads the environment.
package testenv

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

// pollInterval is how often Eventually looks: often enough that nobody waits for it, seldom enough to cost nothing.
const pollInterval = 5 * time.Millisecond

// NATS is the URL of a nats-server with JetStream and sync_interval always, from TIDINGS_TEST_NATS_URL. Other tests use
// the same server at the same time, so names of streams, subjects and groups must be the test's own.
func NATS(tb testing.TB) string {
	tb.Helper()
	return server(tb, "a NATS server", "TIDINGS_TEST_NATS_URL")
}

// Kafka is the address of an Apache Kafka (kafka://host:port,…), from TIDINGS_TEST_KAFKA_URL. Other tests use the same server at the
// same time, so names of topics and groups must be the test's own.
func Kafka(tb testing.TB) string {
	tb.Helper()
	return server(tb, "an Apache Kafka", "TIDINGS_TEST_KAFKA_URL")
}

// KafkaHome is the folder with the programs (jars) of an Apache Kafka, from TIDINGS_TEST_KAFKA_HOME: for tests that start, kill and
// configure a Kafka of their own. It needs Java.
func KafkaHome(tb testing.TB) string {
	tb.Helper()
	return server(tb, "the programs of an Apache Kafka", "TIDINGS_TEST_KAFKA_HOME")
}

// childVariable tells a process of tests what it is.
const childVariable = "TIDINGS_TEST_CHILD"

// Child is what a test said when it started this process by [AsChild]. Empty: nothing, so this is a run of tests.
func Child() string { return os.Getenv(childVariable) }

// AsChild is the environment of a child process of this test, to which [Child] will say what.
func AsChild(what string) []string { return append(os.Environ(), childVariable+"="+what) }

// server reads a URL or a path from the environment, or ends the test.
func server(tb testing.TB, what, variable string) string {
	tb.Helper()
	url := os.Getenv(variable)
	if url != "" {
		return url
	}
	complaint := fmt.Sprintf("this test needs %s: run 'scripts/services up --install' and 'eval \"$(scripts/services env)\"', or set %s",
		what, variable)
	if CI() {
		tb.Fatal(complaint)
	}
	tb.Skip(complaint)
	return ""
}

// CI reports whether nothing may be skipped: CI=true is set, by "make test" or by a build server.
func CI() bool { return os.Getenv("CI") == "true" }

// Soak reports whether full counts are wanted (of kills, seeds, orders): TIDINGS_TEST_SOAK=true is set, by "make soak". Without it a test does
// as much as fits into every run of all tests.
func Soak() bool { return os.Getenv("TIDINGS_TEST_SOAK") == "true" }

// Update reports whether tests are to write what they compare (golden files and documentation), instead of comparing it:
// TIDINGS_TEST_UPDATE=true is set.
func Update() bool { return os.Getenv("TIDINGS_TEST_UPDATE") == "true" }

// Eventually calls check until it returns nil, and fails the test with its last error when that takes longer than
// timeout. Give it a timeout that is generous for a loaded machine: a test that passes never waits for it.
// The calls are made on the test's own goroutine, so check may end the test; a check that never returns is not interrupted.
func Eventually(tb testing.TB, timeout time.Duration, check func() error) {
	tb.Helper()
	deadline := time.Now().Add(timeout)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		late := time.Now().After(deadline)
		err := check()
		if err == nil {
			return
		}
		if late {
			tb.Fatalf("still not so after %v: %v", timeout, err)
		}
		<-tick.C
	}
}

// FreePort is a TCP port of 127.0.0.1 that nobody listened on a moment ago. Servers that can choose a port themselves
// should; this is for those that must come back on the same port after a restart.
func FreePort(tb testing.TB) int {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	defer func() { _ = listener.Close() }()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		tb.Fatalf("find a free port: %v is no TCP address", listener.Addr())
	}
	return address.Port
}
