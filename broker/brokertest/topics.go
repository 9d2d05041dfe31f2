package brokertest

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/tidings-go/tidings/broker"
)

func topicScenarios() []scenario {
	return []scenario{
		{name: "applying topics twice does no harm", run: applyTwice},
		{name: "a missing topic is reported, and inspecting does not make it", run: inspectMissing},
		{name: "another number of partitions is reported and never changed", run: partitionsStay},
		{name: "an external topic is never made", run: externalTopic},
		{name: "a topic without a number of partitions gets some", run: defaultPartitions},
		{name: "lag is what a group has not settled, and goes to 0", run: lag},
		{name: "settings of a topic are kept or refused, and changed by Alter only", run: settings},
		{name: "Alter adds partitions or says that it does not, and takes none away", run: grow},
		{name: "a survey finds the groups of a topic, their members and their lag", run: survey},
	}
}

func applyTwice(k *kit) {
	b := k.open()
	one, two := broker.Topic{Name: k.unique("one"), Partitions: 2}, broker.Topic{Name: k.unique("two"), Partitions: 3, Retention: 24 * time.Hour}
	k.apply(b, two)
	k.publish(b, make10(two.Name)...)
	for range 2 {
		states := k.apply(k.open(), one, two)
		for i, want := range []broker.Topic{one, two} {
			s := states[i]
			if s.Name != want.Name || s.Missing || len(s.Diff) > 0 || s.Partitions != want.Partitions {
				k.Errorf("applied %+v, got %+v", want, s)
			}
		}
		if states[1].Messages != 10 {
			k.Errorf("the topic had 10 records before it was applied again, and then %d", states[1].Messages)
		}
	}
}

func inspectMissing(k *kit) {
	b := k.open()
	name := k.unique("missing")
	for range 2 {
		if s := k.inspect(b, broker.Topic{Name: name, Partitions: 2}); !s.Missing || s.Name != name {
			k.Errorf("a topic that does not exist is described as %+v", s)
		}
	}
	if s := k.apply(b, broker.Topic{Name: name, Partitions: 2})[0]; s.Missing {
		k.Error("a topic is missing after it was applied")
	}
	if s := k.inspect(k.open(), broker.Topic{Name: name, Partitions: 2}); s.Missing || len(s.Diff) > 0 || s.Messages != 0 {
		k.Errorf("a new topic is described as %+v", s)
	}
}

func partitionsStay(k *kit) {
	b := k.open()
	name := k.topic(b, 2)
	k.publish(b, make10(name)...)
	for _, op := range []broker.Op{broker.Inspect, broker.Apply, broker.Inspect} {
		states, err := b.Topics(k.patient(), op, broker.Topic{Name: name, Partitions: 5})
		if err != nil {
			k.Fatalf("a topic with other partitions is an error: %v", err)
		}
		if s := states[0]; s.Partitions != 2 || len(s.Diff) != 1 || s.Messages != 10 {
			k.Errorf("a topic with 2 partitions and 10 records, of which 5 partitions are wanted, is described as %+v", s)
		}
	}
}

func externalTopic(k *kit) {
	b := k.open()
	name := k.unique("external")
	if s := k.apply(b, broker.Topic{Name: name, Partitions: 1, External: true})[0]; !s.Missing {
		k.Errorf("an external topic that does not exist is described as %+v", s)
	}
	if s := k.inspect(b, broker.Topic{Name: name}); !s.Missing {
		k.Error("an external topic was made")
	}
	k.apply(b, broker.Topic{Name: name, Partitions: 2})
	if s := k.apply(b, broker.Topic{Name: name, Partitions: 3, External: true})[0]; s.Missing || s.Partitions != 2 || len(s.Diff) != 1 {
		k.Errorf("an external topic with 2 partitions, of which 3 are wanted, is described as %+v", s)
	}
}

func defaultPartitions(k *kit) {
	b := k.open()
	if s := k.apply(b, broker.Topic{Name: k.unique("topic")})[0]; s.Partitions < 1 || len(s.Diff) > 0 {
		k.Errorf("a topic without a number of partitions is described as %+v", s)
	}
}

func lag(k *kit) {
	b := k.open()
	topic := k.topic(b, 1)
	group, never := k.unique("group"), k.unique("never")
	want := broker.Topic{Name: topic, Groups: []string{group, never}}
	lagIs := func(n uint64) func() bool {
		return func() bool { return k.inspect(b, want).Lag[group] == n }
	}
	k.sequence(b, topic, 1, 10)
	call := k.grab(b, broker.Reader{Group: group, Topics: []string{topic}})
	grip := call.next()
	got := grip.read(10)
	k.eventually("lag is 10 when nothing is settled", lagIs(10))
	grip.settle(got[:4])
	k.eventually("lag is 6 when 4 of 10 are settled", lagIs(6))
	k.sequence(b, topic, 11, 12)
	k.eventually("lag is 8 when 2 more are published", lagIs(8))
	grip.settle(append(got[4:], grip.read(2)...))
	k.eventually("lag is 0 when all is settled", lagIs(0))
	if n := k.inspect(b, want).Lag[never]; n != 12 {
		k.Errorf("the lag of a group that never read 12 records is %d", n)
	}
	grip.giveBack()
	call.stop()
}

// settings tries each by itself: what an adapter can't do it refuses.
func settings(k *kit) {
	b := k.open()
	for name, set := range map[string]func(t *broker.Topic, n int){
		"retention":   func(t *broker.Topic, n int) { t.Retention = time.Duration(n) * 24 * time.Hour },
		"max bytes":   func(t *broker.Topic, n int) { t.MaxBytes = int64(n) << 26 },
		"compact":     func(t *broker.Topic, n int) { t.Compact = n == 1 },
		"replication": func(t *broker.Topic, _ int) { t.Replication = 1 },
	} {
		one := broker.Topic{Name: k.unique("topic"), Partitions: 1}
		two := one
		set(&one, 1)
		set(&two, 2)
		if _, err := b.Topics(k.patient(), broker.Apply, one); errors.Is(err, broker.ErrInvalid) {
			continue
		}
		records := make10(one.Name)
		for i := range records {
			records[i].Key = strconv.Itoa(i) // what is compacted needs one
		}
		k.publish(b, records...)
		expect := func(op broker.Op, want broker.Topic, differences int) {
			states, err := b.Topics(k.patient(), op, want)
			if err != nil || len(states[0].Diff) != differences || states[0].Messages != 10 {
				k.Errorf("%s, op %d, wanted %+v: %+v, %v", name, op, want, states, err)
			}
		}
		changed := 1
		if name == "replication" {
			changed = 0
		}
		expect(broker.Inspect, one, 0)
		expect(broker.Inspect, two, changed)
		expect(broker.Apply, two, changed)
		expect(broker.Alter, two, 0)
		expect(broker.Inspect, two, 0)
	}
}

func grow(k *kit) {
	name := k.topic(k.open(), 2)
	want := broker.Topic{Name: name, Partitions: 3}
	states, err := k.open().Topics(k.patient(), broker.Alter, want)
	if err != nil {
		k.Fatal(err)
	}
	if s := states[0]; s.Partitions != 3 && len(s.Diff) != 1 || s.Partitions == 3 && len(s.Diff) != 0 {
		k.Errorf("a topic with 2 partitions that is to have 3 is described as %+v", s)
	}
	had := states[0].Partitions
	b := k.open() // who is there when partitions come need not notice
	k.publish(b, make10(name)...)
	call := k.grab(b, broker.Reader{Group: k.unique("group"), Topics: []string{name}})
	grips := make([]*grip, had)
	for i := range grips {
		grips[i] = call.next()
	}
	for _, g := range grips {
		g.giveBack()
	}
	call.stop()
	want.Partitions = 1
	if states, err = b.Topics(k.patient(), broker.Alter, want); err != nil || states[0].Partitions != had || len(states[0].Diff) != 1 {
		k.Errorf("a topic with %d partitions that is to have 1 is described as %+v, %v", had, states, err)
	}
}

func survey(k *kit) {
	b := k.open()
	topic, group := k.topic(b, 1), k.unique("group")
	begun := time.Now()
	k.sequence(b, topic, 1, 5)
	call := k.grab(b, broker.Reader{Group: group, Topics: []string{topic}})
	g := call.next()
	got := g.read(5)
	g.settle(got[:2])
	find := func(members int, lag uint64) func() bool {
		return func() bool {
			states, err := b.Topics(k.patient(), broker.Survey, broker.Topic{Name: topic})
			if err != nil {
				k.Fatal(err)
			}
			if len(states[0].Readers) != 1 {
				return false
			}
			r := states[0].Readers[0]
			hasAge := lag > 0 && r.Oldest.After(begun.Add(-time.Minute)) && r.Oldest.Before(time.Now().Add(time.Minute)) || lag == 0 && r.Oldest.IsZero()
			return r.Group == group && r.Members == members && r.Lag == lag && hasAge
		}
	}
	k.eventually("a survey finds the one group, one member and 3 records that it has not settled", find(1, 3))
	k.eventually("a survey of everything names the group and its one member", func() bool {
		states, err := b.Topics(k.patient(), broker.Survey)
		if err != nil {
			k.Fatal(err)
		}
		return slices.ContainsFunc(states, func(s broker.TopicState) bool {
			return s.Name == topic && len(s.Readers) == 1 && s.Readers[0].Group == group && s.Readers[0].Members == 1
		})
	})
	g.settle(got[2:])
	k.eventually("a survey finds that all is settled", find(1, 0))
	g.giveBack()
	call.stop()
	k.eventually("a survey finds the group without members", find(0, 0))
}
