package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// maxName is how long a topic or group may be: Kafka takes 249 bytes, and names are made from names.
const maxName = 200

// topic is a topic as the producer sees it. The producer's lock guards it.
type topic struct {
	p    *producer
	name string
	id   [16]byte
	// lanes is empty until the topic was looked up; meanwhile records are waiting.
	lanes   []*lane
	waiting []entry
	// limit is how large a batch may be, largest how large a record. Zero: unknown.
	limit, largest int
	// sticky is the lane for records without a key, until a batch of it leaves.
	sticky int

	asking  bool
	trouble error
}

// refuse says what makes it impossible to store an entry.
func (t *topic) refuse(e *entry) error {
	if t.largest > 0 && e.size > t.largest {
		return fmt.Errorf("%w: it takes %d bytes and the topic's max.message.bytes is %d", broker.ErrTooLarge, e.size, t.largest)
	}
	return nil
}

// add routes an entry to its lane, or lets it wait until lanes are known.
func (t *topic) add(e entry) {
	if len(t.lanes) == 0 {
		t.waiting = append(t.waiting, e)
		t.refresh()
		return
	}
	t.laneOf(e.record.Key).add(e)
}

// laneOf places a key as all Kafka clients do. Records without a key stay together until their batch leaves, because few large
// batches are cheaper than many small ones, and then move on.
func (t *topic) laneOf(key string) *lane {
	if key != "" {
		return t.lanes[partitionOf(key, len(t.lanes))]
	}
	if len(t.lanes[t.sticky].gathered) == 0 {
		t.sticky = (t.sticky + 1) % len(t.lanes)
	}
	return t.lanes[t.sticky]
}

// refresh looks the topic up in the background, once at a time.
func (t *topic) refresh() {
	if t.asking || t.p.ctx.Err() != nil {
		return
	}
	t.asking = true
	t.p.working.Go(t.look)
}

// look finds out what the topic is like.
func (t *topic) look() {
	ctx, cancel := context.WithTimeout(t.p.ctx, askTimeout)
	defer cancel()
	about, err := describeOne(ctx, t.p.cl, t.name)
	if err == nil {
		about.maxBytes = maxMessageBytes(ctx, t.p.cl, t.name)
	}
	t.p.mu.Lock()
	t.asking = false
	failed := t.learn(about, err)
	t.p.mu.Unlock()
	t.p.conclude(failed)
}

// learn takes in what a look has found. It returns what can't be stored now that more is known.
func (t *topic) learn(about description, err error) []failure {
	t.trouble = err
	if errors.Is(err, broker.ErrUnknownTopic) || isRefusal(err) {
		return t.giveUp(err)
	}
	if err != nil {
		if len(t.waiting) > 0 && t.p.ctx.Err() == nil {
			time.AfterFunc(500*time.Millisecond, func() {
				t.p.mu.Lock()
				defer t.p.mu.Unlock()
				t.refresh()
			})
		}
		return nil
	}
	t.id, t.largest = about.id, about.maxBytes
	t.limit = maxBatch
	if t.largest > 0 {
		t.limit = min(t.limit, t.largest)
	}
	for n, leader := range about.leaders {
		if n == len(t.lanes) {
			t.lanes = append(t.lanes, &lane{topic: t, partition: int32(n), producer: -1, limit: t.limit})
		}
		t.lanes[n].leader = leader
	}
	return t.release()
}

// release routes what has waited.
func (t *topic) release() []failure {
	var failed []failure
	waiting := t.waiting
	t.waiting = nil
	for _, e := range waiting {
		if err := t.refuse(&e); err != nil {
			failed = append(failed, failure{e, err})
			continue
		}
		t.add(e)
	}
	return failed
}

// giveUp fails everything of the topic, and forgets it: it may be made later.
func (t *topic) giveUp(err error) []failure {
	var failed []failure
	for _, l := range t.lanes {
		failed = append(failed, l.giveUp(err)...)
	}
	for _, e := range t.waiting {
		failed = append(failed, failure{e, explain(err)})
	}
	t.waiting = nil
	if errors.Is(err, broker.ErrUnknownTopic) {
		delete(t.p.topics, t.name)
	}
	return failed
}

// expire gives up what has waited too long.
func (t *topic) expire(now time.Time) []failure {
	var failed []failure
	for _, l := range t.lanes {
		failed = append(failed, l.expire(now)...)
	}
	if len(t.waiting) > 0 && !now.Before(t.waiting[0].call.deadline) {
		failed = append(failed, t.giveUp(t.timeout(t.trouble))...)
	}
	return failed
}

// timeout is the error of what has waited too long, because of trouble.
func (t *topic) timeout(trouble error) error {
	if trouble == nil {
		trouble = context.DeadlineExceeded
	}
	return fmt.Errorf("not confirmed within %s; the brokers at %s: %w", t.p.cfg.PublishTimeout, t.p.seeds, explain(trouble))
}

// partitionOf places a key.
func partitionOf(key string, partitions int) int {
	return int(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is the hash by which Kafka's own clients place keys. It must never change: records of one key would be in two partitions.
func murmur2(key string) uint32 {
	const m, r = uint32(0x5bd1e995), 24
	h := uint32(0x9747b28c) ^ uint32(len(key))
	for len(key) >= 4 {
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
		key = key[4:]
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(key[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// checkName refuses what can be no topic or group.
func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("the %s has no name: %w", what, broker.ErrInvalid)
	}
	if len(name) > maxName {
		return fmt.Errorf("the %s %.20s… is %d bytes long, at most %d are possible: %w", what, name, len(name), maxName, broker.ErrInvalid)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-' {
			return fmt.Errorf("the %s %q has %q in its name, possible are letters a-z and A-Z, digits, '.', '_' and '-': %w", what, name, r, broker.ErrInvalid)
		}
	}
	if strings.Trim(name, ".") == "" {
		return fmt.Errorf("the %s %q must have something besides dots: %w", what, name, broker.ErrInvalid)
	}
	return nil
}
