package brokertest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tidings-go/tidings/broker"
)

func orderScenarios() []scenario {
	return []scenario{
		{name: "records of a key arrive in the order of publishing, with many keys and publishers", run: orderPerKey},
		{name: "records of a key are in one partition, those without a key are in all", run: placement},
	}
}

// numbered is the next record of key. Its value is its number, and its ID is its own.
func numbered(o *Oracle, topic, key string) broker.Record {
	n := strconv.Itoa(o.Issue(key))
	return broker.Record{Topic: topic, Key: key, ID: key + "/" + n, Value: []byte(n)}
}

// stored tells the oracle that r was acknowledged.
func stored(o *Oracle, r *broker.Record) {
	if n, err := strconv.Atoi(string(r.Value)); err == nil {
		o.Stored(r.Key, n)
	}
}

// handled tells the oracle what was delivered. What is not a number is foreign.
func handled(o *Oracle, deliveries []broker.Delivery) {
	for i := range deliveries {
		n, err := strconv.Atoi(string(deliveries[i].Value))
		if err != nil {
			n = -1
		}
		o.Handled(deliveries[i].Key, n)
	}
}

// watch is a reader that shows everything to the oracle and settles it.
func watch(o *Oracle) func(context.Context, broker.Partition) {
	return func(ctx context.Context, p broker.Partition) {
		// Why the partition ended does not matter: what was not settled comes again.
		_ = follow(ctx, p, func(deliveries []broker.Delivery) { handled(o, deliveries) })
	}
}

// judge fails the scenario if the oracle found something.
func (k *kit) judge(o *Oracle) Verdict {
	k.Helper()
	v := o.Check()
	if err := v.Err(); err != nil {
		k.Error(err)
	}
	return v
}

// judgeAll waits until everything that was stored is handled, as long as that can take, and judges.
func (k *kit) judgeAll(o *Oracle) Verdict {
	k.Helper()
	k.holds(k.drain, func() bool { return o.Open() == 0 })
	return k.judge(o)
}

// orderPerKey has publishers that do not wait for one call's outcome before they make the next.
func orderPerKey(k *kit) {
	const publishers, calls, keys = 4, 20, 25
	b := k.open()
	topic := k.topic(b, 4)
	var oracle Oracle
	k.consume(k.open(), broker.Reader{Group: k.unique("group"), Topics: []string{topic}}, watch(&oracle))
	var open sync.WaitGroup
	open.Add(publishers * calls * keys)
	for p := range publishers {
		go func() {
			for range calls {
				records := make([]broker.Record, keys)
				for i := range records {
					// Every third record is of the publisher's hot key.
					records[i] = numbered(&oracle, topic, fmt.Sprint("publisher", p, "-key", i%3*i))
				}
				b.Publish(k.Context(), records, func(i int, _ broker.Receipt, err error) {
					defer open.Done()
					if err != nil {
						k.Errorf("publish: %v", err)
						return
					}
					stored(&oracle, &records[i])
				})
			}
		}()
	}
	open.Wait()
	k.judgeAll(&oracle)
}

func placement(k *kit) {
	const partitions = 4
	b := k.open()
	topic := k.topic(b, partitions)
	home := make(map[string]int)
	used := make(map[int]bool)
	for range 5 {
		var records []broker.Record
		for i := range 40 {
			records = append(records, broker.Record{Topic: topic, Key: fmt.Sprint("key", i), Value: []byte("x")})
		}
		for i, r := range k.publish(k.open(), records...) { // Another client chooses the same partition.
			key := records[i].Key
			if at, ok := home[key]; ok && at != r.Partition {
				k.Errorf("key %s is in partitions %d and %d", key, at, r.Partition)
			}
			home[key] = r.Partition
			used[r.Partition] = true
		}
	}
	if len(used) != partitions {
		k.Errorf("40 keys are in %d of %d partitions", len(used), partitions)
	}
	var counts [partitions]atomic.Int64
	for range 40 {
		for _, r := range k.publish(b, make10(topic)...) {
			counts[r.Partition].Add(1)
		}
	}
	for p := range counts {
		if n := counts[p].Load(); n < 10 {
			k.Errorf("of 400 records without a key, partition %d has %d", p, n)
		}
	}
}

// make10 returns ten records without a key.
func make10(topic string) []broker.Record {
	records := make([]broker.Record, 10)
	for i := range records {
		records[i] = broker.Record{Topic: topic, Value: []byte("x")}
	}
	return records
}
