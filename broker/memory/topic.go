package memory

import (
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// topic is a number of partitions under one lock. One lock is enough: what is done under it takes tens of nanoseconds per
// record, and a whole batch is stored under one acquisition.
type topic struct {
	name string

	mu         sync.Mutex // guards what follows
	settings   settings
	partitions []*partition
	rotation   int // where the next record without a key goes
	seen       dedup
	arena      arena
	audience   audience
}

func newTopic(want broker.Topic, retain int) *topic {
	t := &topic{name: want.Name, seen: newDedup(), partitions: make([]*partition, want.Partitions)}
	t.settings = settings{want.Retention, want.Replication, want.MaxBytes, want.Compact}
	for i := range t.partitions {
		t.partitions[i] = newPartition(i, retain)
	}
	return t
}

// result is what became of one record.
type result struct {
	place
	err error
}

// store appends those records whose result has no error yet, and fills in the results.
func (t *topic) store(records []broker.Record, results []result) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range records {
		if results[i].err == nil {
			results[i].place = t.keep(&records[i], now)
		}
	}
	for _, p := range t.partitions {
		p.wakeReaders()
	}
}

// keep stores one record, or finds that it was stored before. The lock is held.
func (t *topic) keep(r *broker.Record, now time.Time) place {
	if r.ID == "" {
		return t.append(r, now)
	}
	hash := t.seen.hash(r.ID)
	if at, ok := t.seen.find(hash); ok && t.partitions[at.partition].holds(at.sequence, r.ID) {
		return at
	}
	at := t.append(r, now)
	t.seen.add(hash, at)
	return at
}

func (t *topic) append(r *broker.Record, now time.Time) place {
	p := t.choose(r.Key)
	d := p.push()
	d.Record = t.arena.keep(r)
	d.Partition, d.Sequence, d.Time = p.number, p.next-1, now
	t.audience.send(&d.Record)
	return place{partition: int32(p.number), sequence: d.Sequence}
}

// live shows records to the listeners and forgets them.
func (t *topic) live(records []broker.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.audience.empty() {
		return
	}
	for i := range records {
		r := t.arena.keep(&records[i])
		t.audience.send(&r)
	}
}

// heard reports whether anybody listens.
func (t *topic) heard() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.audience.empty()
}

// choose finds the partition for a key: by the key's hash (FNV-1a), or in turn.
func (t *topic) choose(key string) *partition {
	if key == "" {
		t.rotation++
		return t.partitions[t.rotation%len(t.partitions)]
	}
	hash := uint32(2166136261)
	for i := range len(key) {
		hash = (hash ^ uint32(key[i])) * 16777619
	}
	return t.partitions[hash%uint32(len(t.partitions))]
}
