package brokertest

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
)

func replicaScenarios() []scenario {
	return []scenario{
		{name: "three replicas keep the order of each key while others join and leave", run: replicasComeAndGo, replicas: true, long: true},
		{name: "three replicas keep the order of each key while others are killed", run: replicasAreKilled, replicas: true, long: true},
		{name: "a replica that stands still beyond its session is replaced, and disturbs nothing when it goes on", run: replicaStandsStill, replicas: true, long: true},
		{
			name: "an owner that stands still between handling and acknowledging while the server is killed changes nothing when it goes on",
			run:  ownerStandsStill, replicas: true, alone: true, long: true, needs: []Need{NeedRestart},
		},
		{name: "two versions of a service, one of which reads a topic and a type more, run side by side", run: twoVersions, replicas: true, long: true},
	}
}

// pace is how often load publishes for replicas that report each record: about 800 records a second.
const pace = 20 * time.Millisecond

// rounds is how often something is done: once in every run of all tests, and often in the soak.
func rounds(soak int) int {
	if testenv.Soak() {
		return soak
	}
	return 1
}

// underLoad starts three replicas of a service and lets records flow through them. It returns what ends the load.
func (k *kit) underLoad() (s *service, topic string, stopLoad func()) {
	k.Helper()
	b := k.open()
	topic = k.topic(b, 6)
	s = k.service(topic)
	stopLoad = k.load(b, topic, &s.oracle, pace)
	return s, topic, stopLoad
}

func replicasComeAndGo(k *kit) {
	s, topic, stopLoad := k.underLoad()
	replicas := []replica{s.start(), s.start(), s.start()}
	k.flows(&s.oracle, "to three replicas")
	for i := range rounds(10) {
		guest := s.start()
		k.flows(&s.oracle, "while a replica joins")
		replicas[i%3].terminate()
		k.flows(&s.oracle, "while a replica leaves")
		replicas[i%3] = guest
	}
	stopLoad()
	s.conclude(topic, replicas...)
}

func replicasAreKilled(k *kit) {
	s, topic, stopLoad := k.underLoad()
	replicas := []replica{s.start(), s.start(), s.start()}
	k.flows(&s.oracle, "to three replicas")
	for i := range rounds(10) {
		replicas[i%3].kill()
		k.flows(&s.oracle, "after a replica was killed")
		replicas[i%3] = s.start()
		k.flows(&s.oracle, "after it was replaced")
	}
	stopLoad()
	s.conclude(topic, replicas...)
}

func replicaStandsStill(k *kit) {
	s, topic, stopLoad := k.underLoad()
	replicas := []replica{s.start(), s.start(), s.start()}
	for i := range rounds(10) {
		k.flows(&s.oracle, "to three replicas")
		replicas[i%3].freeze()
		k.flows(&s.oracle, "to the replicas that are left")
		stopLoad()
		k.judgeAll(&s.oracle) // The others take over what it had.
		s.isSettled(topic)
		replicas[i%3].thaw()
		s.staysSettled(topic)
		if !k.has(NeedProcesses) {
			replicas[i%3] = s.start() // Its client was taken away.
		}
		stopLoad = k.load(k.open(), topic, &s.oracle, pace)
	}
	k.flows(&s.oracle, "to three replicas again")
	stopLoad()
	s.conclude(topic, replicas...)
}

// conclude waits until all is handled and judges. Then the replicas leave, and another must find everything settled: what a stale
// owner says must not have moved the group's position back.
func (s *service) conclude(topic string, replicas ...replica) {
	k := s.k
	k.Helper()
	k.judgeAll(&s.oracle)
	for _, r := range replicas {
		r.terminate()
	}
	_, before := s.oracle.handled()
	s.start()
	b := k.open()
	for i := range 32 {
		k.insistOn(b, []broker.Record{numbered(&s.oracle, topic, fmt.Sprint("key", i))}, 1, &s.oracle)
	}
	v := k.judgeAll(&s.oracle)
	if v.Repeats > before {
		k.Errorf("all replicas left in good order, and the next one was given %d records again", v.Repeats-before)
	}
	if n := s.burials(); n > 0 {
		k.Errorf("%d records were given up on", n)
	}
	k.Logf("%d records of %d keys, %d repeats", v.Handled, v.Keys, v.Repeats)
}

// isSettled waits until the group has settled everything in topic.
func (s *service) isSettled(topic string) {
	s.k.Helper()
	b := s.k.open()
	s.k.eventually("everything is settled", func() bool { return s.lag(b, topic) == 0 })
}

// staysSettled watches for a while whether the group's position goes back.
func (s *service) staysSettled(topic string) {
	s.k.Helper()
	b := s.k.open()
	var lag uint64
	if s.k.holds(2*time.Second, func() bool {
		lag = s.lag(b, topic)
		return lag > 0
	}) {
		s.k.Errorf("everything was settled; then a stale owner went on, and the group's position went back by %d", lag)
	}
}

func (s *service) lag(b broker.Broker, topic string) uint64 {
	s.k.Helper()
	return s.k.inspect(b, broker.Topic{Name: topic, Groups: []string{s.role.Group}}).Lag[s.role.Group]
}

// ownerStandsStill stops the owner when the handler of key1's fifth record has succeeded and nobody knows it yet.
func ownerStandsStill(k *kit) {
	const keys = 4
	b := k.open()
	topic := k.topic(b, 1)
	s := k.service(topic)
	stopped := make(chan struct{})
	stop := sync.OnceFunc(func() { close(stopped) })
	s.heed = func(from replica, r report) {
		select {
		case <-stopped:
		default:
			if r.Key == "key1" && r.N == 5 {
				from.freeze()
				stop()
			}
		}
	}
	publish := func() {
		k.Helper()
		for i := range 8 * keys {
			k.insistOn(b, []broker.Record{numbered(&s.oracle, topic, fmt.Sprint("key", i%keys))}, 1, &s.oracle)
		}
	}
	owner := s.start()
	publish()
	select {
	case <-stopped:
	case <-k.after(k.HandOver):
		k.Fatalf("the owner was given nothing within %s", k.HandOver)
	}
	k.Restart(k.TB)
	heir := s.start()
	k.judgeAll(&s.oracle)
	publish()
	k.judgeAll(&s.oracle)
	s.isSettled(topic)
	owner.thaw()
	s.staysSettled(topic)
	publish()
	if k.has(NeedProcesses) {
		s.conclude(topic, owner, heir)
	} else {
		s.conclude(topic, heir)
	}
}

// twoVersions replaces two replicas of a version by two of the next, under load. The old ones don't know the type "moved", which comes on the topic that
// both read: what they get of it they skip, which is on record. The new topic is for the new version alone.
func twoVersions(k *kit) {
	b := k.open()
	topic, added := k.topic(b, 6), k.topic(b, 2)
	s := k.service(topic)
	next := s.role
	s.role.Types = []string{"made"}
	stop := k.typedLoad(b, &s.oracle, topic, "key")
	old := []replica{s.start(), s.start()}
	k.flows(&s.oracle, "to the old version")
	s.role = next
	s.role.Topics = []string{topic, added}
	replicas := []replica{s.start(), s.start()}
	stopAdded := k.typedLoad(b, &s.oracle, added, "added")
	k.flows(&s.oracle, "to both versions")
	for _, r := range old {
		r.terminate()
	}
	skipped := s.skips()
	k.flows(&s.oracle, "to the new version")
	stop()
	stopAdded()
	k.judgeAll(&s.oracle)
	if n := s.skips(); skipped == 0 || n > skipped {
		k.Errorf("the old version skipped %d records of a type that it does not know; after it was gone, the new one %d", skipped, n-skipped)
	}
	s.conclude(topic, replicas...)
}

// typedLoad publishes records of 32 keys and two types in turn, until stop is called.
func (k *kit) typedLoad(b broker.Broker, oracle *Oracle, topic, keys string) (stop func()) {
	return k.keepPublishing(b, oracle, pace, func(i int) []broker.Record {
		records := make([]broker.Record, 8)
		for j := range records {
			records[j] = numbered(oracle, topic, keys+strconv.Itoa((8*i+j)%32))
			records[j].Headers = []broker.Header{{Name: typeHeader, Value: [...]string{"made", "moved"}[(i+j)%2]}}
		}
		return records
	})
}
