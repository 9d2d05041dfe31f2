// Package broker is the port to what carries messages.
//
// A broker keeps topics; a topic is split into partitions; a partition is an ordered sequence of records. Records of one key
// are in one partition, in the order in which they were published. A [Reader] with a group divides the partitions of its
// topics over all replicas that read with that group: each partition has one owner at a time, and what the owner has settled
// is where the next owner begins.
//
//	b.Publish(ctx, []broker.Record{{Topic: "orders", Key: "42", Value: body}}, func(i int, r broker.Receipt, err error) {
//		// stored, or not: called once for each record
//	})
//	err := b.Consume(ctx, broker.Reader{Group: "shop.mailer", Topics: []string{"orders"}}, func(ctx context.Context, p broker.Partition) {
//		var next uint64
//		for {
//			deliveries, err := p.Fetch(ctx, 256, 4<<20)
//			if err != nil {
//				return // io.EOF: hand the partition over; anything else: it is lost
//			}
//			for _, d := range deliveries {
//				handle(d)
//				next = d.Sequence + 1
//			}
//			p.Settle(ctx, broker.Settlement{Next: next})
//		}
//	})
//
// Users of tidings touch this package only to name a broker in their configuration. Who writes an adapter implements
// [Broker] and calls brokertest.Run, which checks every sentence of this package's documentation.
package broker

import (
	"context"
	"errors"
	"time"
)

// Errors that callers tell apart. An adapter wraps them with what it was doing.
var (
	// ErrTooLarge says that a record is larger than the broker takes. Sending it again can't help.
	ErrTooLarge = errors.New("record is too large")
	// ErrInvalid says that a record can never be stored as it is (an impossible topic name or header, say).
	ErrInvalid = errors.New("record is invalid")
	// ErrUnknownTopic says that a topic does not exist; [Broker.Topics] with [Apply] makes it.
	ErrUnknownTopic = errors.New("unknown topic")
	// ErrClosed says that the broker was closed.
	ErrClosed = errors.New("broker is closed")
	// ErrNoListener says that a live record that asks for an answer was heard by nobody.
	ErrNoListener = errors.New("nobody listens")
)

// ReplyTo is the header of a live record that asks for an answer. Its value is the live topic on which the sender listens for it.
const ReplyTo = "tidings-reply-to"

// Permanent reports whether err means that the record itself is at fault: publishing it again will fail again.
func Permanent(err error) bool { return errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalid) }

// Broker carries records. It is safe for concurrent use.
type Broker interface {
	// Publish stores records and calls done once for each, from any goroutine and in any order; done must not block.
	//
	// Calls that follow each other keep their order per topic and key, also when the broker fails and recovers in between:
	// a record is never stored for the first time after a later record of its key. So when a record fails for a reason that is not
	// its own (see [Permanent]), those of its key that were published after it and are not stored yet fail too. A record that
	// failed may have been stored all the same (the answer was lost). Publish returns as soon as the records are buffered; ctx bounds only the wait for room
	// in the buffer, which is limited; the outcome comes through done, at the latest after the adapter's publish timeout.
	// The records must not be changed before done was called.
	Publish(ctx context.Context, records []Record, done func(i int, r Receipt, err error))

	// Live sends records to whoever listens now and forgets them. It waits for nobody, but where a record has the header [ReplyTo]:
	// it then returns when a listener has taken the record, and at once with ErrNoListener when nobody listens. See [Topic].Live.
	Live(ctx context.Context, records []Record) error

	// Consume offers the partitions of r's topics, each to one call of each at a time over all replicas of the group.
	// The calls run concurrently, one per partition held. When ctx ends, Fetch returns io.EOF on every partition, and
	// Consume returns nil once every call of each has returned. An error means that consuming is impossible and names why.
	Consume(ctx context.Context, r Reader, each func(ctx context.Context, p Partition)) error

	// Listen calls each for every record that is published to l's topics, durably or live, from now until ctx ends. Nothing
	// is acknowledged or repeated. A listener that is too slow loses records; the oldest go first. Those with the header [ReplyTo] that were on their way to
	// it when ctx ended are still handed over: nobody else gets them.
	Listen(ctx context.Context, l Listener, each func(Record)) error

	// Topics looks at topics, or provisions them. The answer has one state for each wanted topic, in their order.
	Topics(ctx context.Context, op Op, want ...Topic) ([]TopicState, error)
}

// Partition is one ordered sequence of records, owned by this process while the context that came with it lives.
//
// That context ends when ownership is lost, or soon after the function that got the partition has returned; it does not end merely because
// Consume's does. Returning from the function gives the partition back: what was not settled is delivered again to its next owner, in order.
type Partition interface {
	// Fetch waits for deliveries and returns up to limit of them, about maxBytes in size, in the partition's order and each once.
	// It returns io.EOF when the partition is to be given back (the process stops, or another replica takes over): finish
	// what was fetched, settle it and return. It returns an error when the partition is lost or ctx ends; that error is never io.EOF.
	// A limit of 0 only waits for these ends, so that who has no room hears of them. Not calling Fetch never costs the partition.
	Fetch(ctx context.Context, limit, maxBytes int) ([]Delivery, error)

	// Settle says what is finished. It may be called while Fetch waits. After ownership was lost it has no effect: it
	// returns an error where that is known, and never moves the group's position.
	Settle(ctx context.Context, s Settlement) error
}

// Record is what travels: bytes and headers, no types.
type Record struct {
	Topic string
	// Key is what records are ordered by. Records without a key are spread evenly and have no order.
	Key string
	// ID is for deduplication where the broker has it: a second record of one topic with the same ID may be dropped. Empty: never.
	ID string
	// Headers in canonical form: a CloudEvents attribute is "ce-" and its name, its content type is "content-type", values are plain UTF-8.
	// Adapters translate them to their protocol's binding and back, so this form is the same on every broker and in every store.
	Headers []Header
	Value   []byte
}

// Header is one name and value. Names are lower-case where tidings made them.
type Header struct{ Name, Value string }

// Size is about what r occupies in memory and on the wire: for limits, not for billing.
func (r *Record) Size() int {
	n := len(r.Topic) + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

// Header returns the value of the first header called name, and whether there is one.
func (r *Record) Header(name string) (string, bool) {
	for i := range r.Headers {
		if r.Headers[i].Name == name {
			return r.Headers[i].Value, true
		}
	}
	return "", false
}

// Receipt says where a record was stored.
type Receipt struct {
	Topic     string
	Partition int
	Sequence  uint64
}

// Delivery is a record with its place in its partition.
type Delivery struct {
	Record
	Partition int
	// Sequence grows along the partition, not necessarily by one.
	Sequence uint64
	// Time is when the broker stored the record.
	Time time.Time
}

// Settlement says what of a partition is finished. Adapters use the part that their broker knows: a log commits Next, a queue acknowledges Done.
type Settlement struct {
	// Done are the sequences that were finished since the last settlement, in any order.
	Done []uint64
	// Next is where the next owner begins: everything fetched with a smaller sequence is finished. Zero: nothing is.
	Next uint64
}

// Reader says what to consume.
type Reader struct {
	// Group shares the partitions among all its readers and remembers what was settled. Without a group the reader gets every
	// partition for itself and nothing is remembered.
	Group  string
	Topics []string
	// From is where a group that has no position yet begins, and where a reader without a group begins. Zero: the earliest record.
	From Start
	// ToEnd makes Fetch return io.EOF at what was the end of the partition when Consume began, and Consume return nil when every
	// partition has been read so far. Only without a group.
	ToEnd bool
}

// Start is a place in a topic: the earliest record, the records from At on, or what comes from now on.
type Start struct {
	Latest bool
	At     time.Time
}

// Listener says what to listen to.
type Listener struct {
	Topics []string
	// Group shares the records: one of its listeners gets each. Without a group every listener gets all.
	Group string
	// Ready is called once, when every record published from then on will be heard. It may be nil.
	Ready func()
}

// Op is what [Broker.Topics] does.
type Op int

const (
	// Inspect only looks.
	Inspect Op = iota
	// Apply creates what is missing. It never deletes, and never changes a topic that exists.
	Apply
	// Alter is Apply, and also changes topics that exist to what is wanted of them, as far as the broker can; the rest stays in Diff. It adds partitions
	// where that is possible, and takes none away. A new number of partitions puts keys in other places, so nobody may publish to the topic or read from it
	// meanwhile, and everything in it must have been settled: who calls sees to that.
	Alter
	// Survey is Inspect, and also finds out who reads: [TopicState.Readers]. It takes longer. Without wanted topics it names all
	// topics that the broker has and who reads them, and need not count anything but members.
	Survey
)

// Topic describes a topic as it should be.
type Topic struct {
	Name string
	// Partitions is how many readers of a group can share the topic. Zero: the adapter's default.
	Partitions int
	// Retention is how long records are kept. Zero: the adapter's default.
	Retention time.Duration
	// Replication is on how many servers records are kept. Zero: the adapter's default.
	Replication int
	// MaxBytes is about how many bytes of records the topic keeps; when there are more, the oldest go. Zero: no limit.
	MaxBytes int64
	// Compact makes the topic keep the newest record of each key, however old it is; older ones of the key may go at any time, and with a Retention all
	// go that are older. Every record needs a key. An adapter that can't do that refuses the topic with [ErrInvalid].
	Compact bool
	// External topics belong to somebody else: they are checked and never made.
	External bool
	// Live topics carry only live records, with or without [ReplyTo]. A broker makes for them what it needs to, which may be nothing; one that
	// can't carry requests from process to process says so in the Diff.
	Live bool
	// Groups are those whose lag is wanted.
	Groups []string
}

// TopicState describes a topic as it is.
type TopicState struct {
	Topic
	Missing bool
	// Diff has one line for each way in which the topic differs from what was wanted: "partitions: expected 8, found 4".
	Diff []string
	// Messages is the number of records that the topic holds.
	Messages uint64
	// Lag is, for each wanted group, the number of records that it has not settled.
	Lag map[string]uint64
	// Readers are the groups that have a position in the topic or read it now, by name. Only Survey fills it.
	Readers []Readership
}

// Readership is what one group has to do with one topic.
type Readership struct {
	Group string
	// Members is how many replicas read with the group now, of whatever topics. A replica that was killed may be counted for some seconds.
	Members int
	// Lag is the number of records that the group has not settled, and Oldest is when the first of them was stored. Zero: there is none.
	Lag    uint64
	Oldest time.Time
}
