// Package brokertest checks that a broker keeps what package broker promises. An adapter's test calls [Run] once:
//
//	func TestConformance(t *testing.T) {
//		server := startServer(t)
//		brokertest.Run(t, brokertest.Fixture{
//			Open: func(tb testing.TB) (broker.Broker, func()) {
//				b, err := nats.New(nats.Config{URL: server.URL})
//				if err != nil {
//					tb.Fatal(err)
//				}
//				return b, func() { b.Close() }
//			},
//			MaxRecordBytes: 1 << 20,
//		})
//	}
//
// Each promise is a subtest whose name says it in a sentence. Those that leave the server alone run at the same time on one
// server, on topics and groups of their own; those that stop or restart it run one after the other.
//
// [Oracle] is what finds lost records and broken order. Tests of larger things use it too.
package brokertest

import (
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// Fixture is a running server and what the suite may do to it.
type Fixture struct {
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
	// Pause makes the server deaf until resume is called. Without it, back-pressure is not tested.
	Pause func(tb testing.TB) (resume func())
	// Restart ends the server as rudely as it can be ended and starts it again on the same data and address. Without it,
	// recovery is not tested.
	Restart func(tb testing.TB)
	// Caps says what this fixture makes impossible to check.
	Caps Caps
}

// Caps are limits of a fixture. The zero value has none.
type Caps struct {
	// ServerGoroutines says that the server runs in this process and leaves goroutines behind when a client goes.
	ServerGoroutines bool
	// ServerHeap says that the server keeps its records in this process's memory.
	ServerHeap bool
}

// scenario is one promise. Its function is given a fresh [kit] and calls nothing that is only on *testing.T, so that the suite's
// own tests can run it against brokers that break the promise.
type scenario struct {
	name string
	run  func(k *kit)
	// alone says that it disturbs the server or measures the process.
	alone bool
	// possible says whether the fixture has what it needs. Nil: always.
	possible func(f *Fixture) bool
}

// Run checks everything that the fixture makes possible to check.
func Run(t *testing.T, f Fixture) {
	t.Helper()
	scenarios := all()
	for _, alone := range []bool{true, false} {
		for _, s := range scenarios {
			if s.alone != alone || s.possible != nil && !s.possible(&f) {
				continue
			}
			t.Run(s.name, func(t *testing.T) {
				if !alone {
					t.Parallel()
				}
				s.run(newKit(t, f))
			})
		}
	}
}

func all() []scenario {
	var scenarios []scenario
	for _, theme := range [][]scenario{
		deliveryScenarios(), limitScenarios(), orderScenarios(), groupScenarios(), positionScenarios(), readerScenarios(),
		listenScenarios(), topicScenarios(), disturbanceScenarios(), boundScenarios(),
	} {
		scenarios = append(scenarios, theme...)
	}
	return scenarios
}
