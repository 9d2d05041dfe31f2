// Package brokertest checks that a broker keeps what package broker promises. An adapter's test calls [Run] once:
//
//	func TestConformance(t *testing.T) {
//		server := startServer(t)
//		brokertest.Run(t, brokertest.Fixture{
//			Column: "nats",
//			Open: func(tb testing.TB) (broker.Broker, func()) {
//				b, err := nats.Open(tb.Context(), server.URL, nats.Config{})
//				if err != nil {
//					tb.Fatal(err)
//				}
//				return b, func() { b.Close() }
//			},
//			MaxRecordBytes: 1 << 20,
//			Missing:        map[brokertest.Need]string{brokertest.NeedPause: "the server is shared"},
//		})
//	}
//
// Each promise is a subtest whose name says it in a sentence. Those that leave the server alone run at the same time on one
// server, on topics and groups of their own; those that stop or restart it run one after the other.
//
// What the fixture gives beyond Open decides what can be checked. Where it gives [Fixture].URL, replicas are processes: the suite starts the test's own
// program again, so that the adapter's TestMain must begin with [Child]. Results are kept in brokertest/results and shown in docs/brokers.md.
//
// [Oracle] is what finds lost records and broken order, and [Proxy] is the network in a test's hands. Tests of larger things use both.
package brokertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
)

// Fixture is a running server and what the suite may do to it.
type Fixture struct {
	// Column is the fixture's column of docs/brokers.md and the name of its file in brokertest/results: "kafka", say. Everything that can't be checked
	// then needs a reason in Missing. Empty: the fixture is one more of its kind, has no column, and what takes long is left to the soak.
	Column string
	// Open returns a new client of the server, and what closes it; the suite calls that once. Several clients are open at a
	// time: they are the replicas of a service. Required.
	Open func(tb testing.TB) (b broker.Broker, closeClient func())
	// MaxRecordBytes is what the server takes at most: a value 4 KiB smaller must pass, a larger one must be
	// [broker.ErrTooLarge]. Zero: no limit is looked for.
	MaxRecordBytes int
	// AckWait is after what time without a sign of life the server would give a record to somebody else. A handler is made to
	// take longer than that. Zero: 100 ms, for brokers that have no such time.
	AckWait time.Duration
	// HandOver is how long a partition may take to its next owner, also when the last one's client was closed without any
	// settlement. It is a limit, not a wait. Zero: 20 seconds.
	HandOver time.Duration
	// Pause makes the server deaf until resume is called.
	Pause func(tb testing.TB) (resume func())
	// Restart ends the server as rudely as it can be ended and starts it again on the same data and address.
	Restart func(tb testing.TB)
	// Proxied opens a client that reaches the server only through a proxy of its own: see [StartProxy].
	Proxied func(tb testing.TB) (p *Proxy, b broker.Broker, closeClient func())
	// Stranger tries to open a client with credentials that the server does not accept. It returns the error, and the address that the
	// error has to name.
	Stranger func(ctx context.Context, user, password string) (address string, err error)
	// URL is given to child processes, which open a client with it: see [Child].
	URL func() string
	// Missing says why something is not given, or can't be measured. It is printed in docs/brokers.md.
	Missing map[Need]string
}

// Need is something beyond [Fixture].Open that a scenario needs. Most are fields of the fixture and are met by setting the field.
type Need string

// What scenarios need.
const (
	NeedLimit    Need = "MaxRecordBytes"
	NeedPause    Need = "Pause"
	NeedRestart  Need = "Restart"
	NeedProxied  Need = "Proxied"
	NeedStranger Need = "Stranger"
	// NeedProcesses is met by URL. Without it replicas run in the test's process; their sudden death and standstill are imitated.
	NeedProcesses Need = "URL"
	// NeedGoroutines is met unless Missing says otherwise: the server runs in this process and leaves goroutines behind when a client goes.
	NeedGoroutines Need = "goroutines of its own"
	// NeedHeap is met unless Missing says otherwise: the server keeps its records in this process's memory.
	NeedHeap Need = "a heap of its own"
)

// has reports whether the fixture meets a need.
func (f *Fixture) has(n Need) bool {
	switch n {
	case NeedLimit:
		return f.MaxRecordBytes > 0
	case NeedPause:
		return f.Pause != nil
	case NeedRestart:
		return f.Restart != nil
	case NeedProxied:
		return f.Proxied != nil
	case NeedStranger:
		return f.Stranger != nil
	case NeedProcesses:
		return f.URL != nil && canFreeze
	default:
		return f.Missing[n] == ""
	}
}

// lacks returns the first need that the fixture does not meet, if there is one.
func (f *Fixture) lacks(needs []Need) (Need, bool) {
	for _, n := range needs {
		if !f.has(n) {
			return n, true
		}
	}
	return "", false
}

// theme is promises about one thing.
type theme struct {
	title     string
	scenarios []scenario
}

// scenario is one promise. Its function is given a fresh [kit] and calls nothing that is only on *testing.T, so that the suite's
// own tests can run it against brokers that break the promise.
type scenario struct {
	name string
	run  func(k *kit)
	// alone says that it disturbs the server, keeps it busy, or measures the process.
	alone bool
	// long says that once for each kind of server is enough.
	long bool
	// replicas says that it has replicas that should be processes.
	replicas bool
	needs    []Need
}

func all() []theme {
	return []theme{
		{"Records", deliveryScenarios()},
		{"Order", append(orderScenarios(), loadScenarios()...)},
		{"Groups and replicas", append(groupScenarios(), replicaScenarios()...)},
		{"Positions", positionScenarios()},
		{"Reading", readerScenarios()},
		{"Listening", listenScenarios()},
		{"Limits and refusals", limitScenarios()},
		{"When the network or the server fails", append(disturbanceScenarios(), networkScenarios()...)},
		{"Topics", topicScenarios()},
		{"Resources", boundScenarios()},
	}
}

// atOnce is how many scenarios run at the same time. The long ones, which only fixtures with a column have, wait most of the time.
func (f *Fixture) atOnce() int {
	if f.Column == "" {
		return 2
	}
	return 4
}

// Run checks everything that the fixture makes possible to check, and that its column in brokertest/results says so.
func Run(t *testing.T, f Fixture) {
	t.Helper()
	r := newResults(&f)
	r.demandReasons(t)
	run := func(s scenario) {
		t.Run(s.name, func(t *testing.T) {
			t.Cleanup(func() { r.note(s, !t.Failed()) })
			s.run(newKit(t, f))
		})
	}
	var together []scenario
	for _, theme := range all() {
		for _, s := range theme.scenarios {
			_, lacks := f.lacks(s.needs)
			switch {
			case lacks, s.long && f.Column == "" && !testenv.Soak():
			case s.alone:
				run(s)
			default:
				together = append(together, s)
			}
		}
	}
	queue := make(chan scenario)
	var running sync.WaitGroup
	for range f.atOnce() {
		running.Go(func() {
			for s := range queue {
				run(s)
			}
		})
	}
	for _, s := range together {
		queue <- s
	}
	close(queue)
	running.Wait()
	r.compare(t)
}
