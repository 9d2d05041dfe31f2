package brokertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

func groupScenarios() []scenario {
	return []scenario{
		{name: "two groups each get every record, and a new group begins at the earliest", run: groupsAreIndependent},
		{name: "a partition has one owner at a time, and replicas share fairly", run: fairShares},
		{name: "replicas that join and leave under load keep the order of each key without gaps", run: replicasUnderLoad},
		{name: "a replica without room hears that a partition is to be given back", run: recalledWithoutRoom},
		{name: "a group's partitions wait for nobody who does not read them", run: groupOfTopics},
	}
}

func groupsAreIndependent(k *kit) {
	const records = 200
	b := k.open()
	topic := k.topic(b, 4)
	var oracles [3]Oracle
	var boxes [3]inbox
	group := k.unique("group")
	reader := func(i int) broker.Reader {
		return broker.Reader{Group: fmt.Sprint(group, i), Topics: []string{topic}}
	}
	k.consumeInto(&boxes[0], b, reader(0))
	k.consumeInto(&boxes[1], k.open(), reader(1))
	for i := range records {
		r := numbered(&oracles[0], topic, fmt.Sprint("key", i%10))
		oracles[1].Issue(r.Key)
		oracles[2].Issue(r.Key)
		k.publish(b, r)
		for o := range oracles {
			stored(&oracles[o], &r)
		}
	}
	k.consumeInto(&boxes[2], b, reader(2))
	for i := range boxes {
		k.eventually(fmt.Sprintf("group %d gets everything", i), func() bool { return boxes[i].len() >= records })
		handled(&oracles[i], boxes[i].all())
		k.judge(&oracles[i])
	}
}

func fairShares(k *kit) {
	const partitions = 6
	b := k.open()
	topic := k.topic(b, partitions)
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	owners := newRegister(k)
	first := k.consume(k.open(), reader, owners.each("first", nil))
	k.within(k.HandOver, "one replica has all partitions", func() bool { return owners.shareIs("first", partitions) })
	second := k.consume(k.open(), reader, owners.each("second", nil))
	k.within(k.HandOver, "two replicas have half of the partitions each", func() bool {
		return owners.shareIs("first", 3) && owners.shareIs("second", 3)
	})
	k.consume(k.open(), reader, owners.each("third", nil))
	k.within(k.HandOver, "three replicas have a third of the partitions each", func() bool {
		return owners.shareIs("first", 2) && owners.shareIs("second", 2) && owners.shareIs("third", 2)
	})
	first.stop()
	k.within(k.HandOver, "the two that are left have half of the partitions each", func() bool {
		return owners.shareIs("second", 3) && owners.shareIs("third", 3)
	})
	second.stop()
	k.within(k.HandOver, "the last replica has all partitions", func() bool { return owners.shareIs("third", partitions) })
}

// recalledWithoutRoom has a replica that is full: it asks for nothing, though records are waiting, and must give up its share all the same.
func recalledWithoutRoom(k *kit) {
	const partitions = 2
	b := k.open()
	topic := k.topic(b, partitions)
	for i := range 20 {
		k.publish(b, broker.Record{Topic: topic, Key: fmt.Sprint("key", i), Value: []byte("waiting")})
	}
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	owners := newRegister(k)
	full := k.consume(k.open(), reader, func(ctx context.Context, p broker.Partition) {
		self := &owner{replica: "full", ctx: ctx}
		owners.enter(self)
		defer owners.leave(self)
		if deliveries, err := p.Fetch(ctx, 0, 0); len(deliveries) > 0 || !errors.Is(err, io.EOF) {
			k.Errorf("a fetch of nothing returned %d records and %v, and not io.EOF", len(deliveries), err)
		}
	})
	k.within(k.HandOver, "one replica has all partitions", func() bool { return owners.shareIs("full", partitions) })
	k.consume(k.open(), reader, owners.each("second", nil))
	k.within(k.HandOver, "two replicas have one partition each", func() bool {
		return owners.shareIs("full", 1) && owners.shareIs("second", 1)
	})
	full.stop()
}

// register knows which replica owns which partition, and complains when there are two owners. A partition is known by where
// its records are, so it is entered with its first record; until then it counts as a share only.
type register struct {
	k *kit

	mu     sync.Mutex // guards what follows
	shares map[string]int
	owners map[int]*owner // by partition
	lost   int            // how many partitions ended otherwise than by being given back
}

type owner struct {
	replica string
	ctx     context.Context //nolint:containedctx // It says whether the owner still is one.
}

func newRegister(k *kit) *register {
	return &register{k: k, shares: make(map[string]int), owners: make(map[int]*owner)}
}

// each settles all that it reads, and shows it to handle before.
func (g *register) each(replica string, handle func([]broker.Delivery)) func(context.Context, broker.Partition) {
	return func(ctx context.Context, p broker.Partition) {
		self := &owner{replica: replica, ctx: ctx}
		g.enter(self)
		defer g.leave(self)
		err := follow(ctx, p, func(deliveries []broker.Delivery) {
			g.own(self, deliveries)
			if handle != nil {
				handle(deliveries)
			}
		})
		if !errors.Is(err, io.EOF) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.lost++
		}
	}
}

func (g *register) enter(self *owner) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shares[self.replica]++
}

func (g *register) own(self *owner, deliveries []broker.Delivery) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range deliveries {
		p := deliveries[i].Partition
		if o := g.owners[p]; o != nil && o != self && o.ctx.Err() == nil && self.ctx.Err() == nil {
			g.k.Errorf("%s was given record %d of partition %d while %s owned it", self.replica, deliveries[i].Sequence, p, o.replica)
		}
		g.owners[p] = self
	}
}

func (g *register) leave(self *owner) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shares[self.replica]--
	for p, o := range g.owners {
		if o == self {
			delete(g.owners, p)
		}
	}
}

func (g *register) shareIs(replica string, n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shares[replica] == n
}

// has reports whether the replica owns a partition that it has got records from.
func (g *register) has(replica string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range g.owners {
		if o.replica == replica {
			return true
		}
	}
	return false
}

func (g *register) losses() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lost
}

// replicasUnderLoad also checks that a hand-over in which everything was settled repeats nothing.
func replicasUnderLoad(k *kit) {
	b := k.open()
	topic := k.topic(b, 4)
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	var oracle Oracle
	stopLoad := k.load(b, topic, &oracle, 2*time.Millisecond)
	owners := newRegister(k)
	handle := func(deliveries []broker.Delivery) { handled(&oracle, deliveries) }

	first := k.consume(k.open(), reader, owners.each("first", handle))
	k.flows(&oracle, "to the first replica")
	for _, name := range []string{"second", "third"} {
		replica := k.consume(k.open(), reader, owners.each(name, handle))
		k.within(k.HandOver, "the "+name+" replica reads beside the first", func() bool { return owners.has(name) && owners.has("first") })
		k.flows(&oracle, "after the "+name+" replica joined")
		replica.stop()
		k.flows(&oracle, "after the "+name+" replica left")
	}
	k.consume(k.open(), reader, owners.each("last", handle))
	k.within(k.HandOver, "the last replica reads beside the first", func() bool { return owners.has("last") })
	first.stop()
	k.flows(&oracle, "after the first replica left")

	stopLoad()
	v := k.judgeAll(&oracle)
	if v.Repeats > 0 && owners.losses() == 0 {
		k.Errorf("%d of %d records were handled twice, though every partition was given back settled", v.Repeats, v.Handled)
	}
	k.Logf("%d records of %d keys, %d repeats, %d partitions lost", v.Handled, v.Keys, v.Repeats, owners.losses())
}

// flows waits until some hundred more records are handled: so that each change happens under load.
func (k *kit) flows(oracle *Oracle, when string) {
	k.Helper()
	before, _ := oracle.handled()
	k.within(k.HandOver+k.patience, "records flow "+when, func() bool {
		now, _ := oracle.handled()
		return now >= before+300
	})
}

// load publishes 16 records of 32 keys at a time, that often, until the function that it returns is called.
func (k *kit) load(b broker.Broker, topic string, oracle *Oracle, every time.Duration) (stop func()) {
	return k.keepPublishing(b, oracle, every, func(i int) []broker.Record {
		records := make([]broker.Record, 16)
		for j := range records {
			records[j] = numbered(oracle, topic, fmt.Sprint("key", i%8*4+j%4)) // four of each of four keys
		}
		return records
	})
}

// keepPublishing publishes what next makes, that often, until the function that it returns is called.
func (k *kit) keepPublishing(b broker.Broker, oracle *Oracle, every time.Duration, next func(i int) []broker.Record) (stop func()) {
	halt, halted := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(halted)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-halt:
				return
			case <-k.Context().Done():
				return
			case <-tick.C:
			}
			records := next(i)
			k.insistOn(b, records, len(records), oracle)
		}
	}()
	return sync.OnceFunc(func() {
		close(halt)
		<-halted
	})
}

// groupOfTopics has a member that reads one topic of its group and a member that reads two, as when a new version of a service is
// rolled out.
func groupOfTopics(k *kit) {
	b := k.open()
	old, added := k.topic(b, 2), k.topic(b, 2)
	group := k.unique("group")
	var box inbox
	k.consumeInto(&box, k.open(), broker.Reader{Group: group, Topics: []string{old}})
	k.consumeInto(&box, k.open(), broker.Reader{Group: group, Topics: []string{old, added}})
	var want []string
	for i := range 20 {
		for _, topic := range []string{old, added} {
			value := fmt.Sprint(topic, "/", i)
			want = append(want, value)
			k.publish(b, broker.Record{Topic: topic, Key: fmt.Sprint("key", i), Value: []byte(value)})
		}
	}
	k.within(k.HandOver+k.patience, "the records of both topics arrive", func() bool { return box.len() >= len(want) })
	got := slices.Compact(slices.Sorted(slices.Values(box.values())))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		k.Errorf("published %q, got %q", want, got)
	}
}
