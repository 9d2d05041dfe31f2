// Package redis is the broker on Redis Streams.
//
//	b, err := redis.Open(ctx, "redis://localhost:6379", redis.Config{})
//	if err != nil {
//		return err
//	}
//	defer b.Close()
//
// It needs Redis 7.0 or newer: one server, one under Sentinel, or a cluster; see [ParseURL]. What it keeps there, for the topic
// "shop.orders" and the group "shop.mailer":
//
//	tidings:topic:shop.orders                        hash: partitions and limits of the topic
//	tidings:{shop.orders/3}                          stream: partition 3
//	tidings:{shop.orders/3}:owner:shop.mailer        hash: who reads partition 3 for the group, and since which epoch
//	tidings:{shop.orders/3}:sent:…                   string: the last batch of a publisher, for as long as it may be sent again
//	tidings:lease:shop.mailer/shop.orders            hash: how the group's replicas share the topic
//	tidings:live:shop.orders                         channel: what is published live
//	tidings:claim:…                                  string: which listener of a queue group has a record, for seconds
//
// A group is a consumer group of the same name on each stream, so XINFO GROUPS shows what it has read, what it has not
// acknowledged, and its lag. All its reading is done by one consumer, "owner"; who that is stands in the owner hash. Nobody else may read
// with the group: what another program gets that way comes to the next owner only, and late.
//
// # Entries
//
// An entry has a field for each header, named as CloudEvents' HTTP binding names them ("ce-id", "ce-type", "content-type"), and "data",
// the value. "key" is the record's key, where that is not "ce-partitionkey"; "id" is its ID for deduplication. So XRANGE shows
// an event in plain words, and any program can publish one with XADD key * ce-specversion 1.0 ce-id … data …
// An entry without "data" and "ce-specversion" was made by somebody else, for another purpose: it is delivered as a form
// (application/x-www-form-urlencoded) of all its fields.
//
// # Order and failures
//
// Consumer groups let several readers have records of one key at the same time, and anybody acknowledge them. So each partition has
// one owner at a time, by a lease; reading and acknowledging are transactions that fail when the partition has another owner by
// then. A new owner first takes over what is pending, in order, and only then reads on.
//
// Batches are stored by transactions too: all of a batch or nothing. A transaction also notes the batch's number, so that a
// publisher whose connection broke finds out whether the batch was stored, and what still lingers on the way of the old connection
// comes to nothing. While one batch of a partition is on its way the next one gathers.
//
// # What Redis does not promise
//
// What the server has acknowledged survives its death only with appendonly yes, and the death of its machine only with appendfsync
// always; Open warns when the server keeps nothing. Replication is asynchronous: a failover, by Sentinel or in a cluster, can lose
// the last acknowledged records and acknowledgements. min-replicas-to-write makes that rarer. A server with an eviction policy
// other than noeviction may throw topics away; Open warns of that too.
//
// Redis has everything in memory. Records are removed when they are older than the topic's retention, but never before every
// group has settled them: a group that nobody needs any more must be removed (XGROUP DESTROY), and is complained about until then.
package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/room"
)

// Broker is a [broker.Broker] on Redis.
type Broker struct {
	cfg    Config
	client goredis.UniversalClient
	room   *room.Room
	// member is what this broker calls itself among owners and publishers.
	member string
	// batches and marks number what is published and sent live; lost counts what disappeared before it was settled.
	batches, marks, lost atomic.Uint64

	// closing ends when Close begins: nothing new is accepted. gone ends when the connections are about to be left.
	closing, gone context.Context
	close, leave  context.CancelFunc
	// working are the calls of Consume and Listen, publishing the lanes that have something to send.
	working, publishing, background sync.WaitGroup

	mu      sync.Mutex
	topics  map[string]*topic
	outlets map[string]*outlet
	trimmer *trimmer
}

var _ broker.Broker = (*Broker)(nil)

// farewell is how long Close waits for calls of Consume whose partitions it has taken away.
const farewell = 2 * time.Second

// Open connects to the Redis that a URL names; see [ParseURL]. Connections come back by themselves whenever they are lost, for as
// long as it takes. What a URL can't say is set by change: TLS with a certificate of one's own, say.
func Open(ctx context.Context, url string, cfg Config, change ...func(*goredis.UniversalOptions)) (*Broker, error) {
	options, err := ParseURL(url)
	if err != nil {
		return nil, err
	}
	for _, c := range change {
		c(options)
	}
	return New(ctx, options, cfg)
}

// New makes a broker with the options of go-redis: several addresses are a cluster, a master name is for Sentinel. Some options are
// the broker's own: it speaks RESP 2, repeats nothing that is not known to be harmless, and reads from masters only. Each partition
// that it owns and has nothing to do holds a connection; so PoolSize is 1000 unless it is set.
func New(ctx context.Context, options *goredis.UniversalOptions, cfg Config) (*Broker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		cfg: cfg, client: goredis.NewUniversalClient(adapt(options)), room: room.New(cfg.BufferRecords, cfg.BufferBytes), member: memberName(),
		topics: map[string]*topic{}, outlets: map[string]*outlet{},
	}
	b.trimmer = newTrimmer(b)
	if err := b.checkServers(ctx); err != nil {
		_ = b.client.Close()
		return nil, connectError(options, err)
	}
	b.closing, b.close = context.WithCancel(context.WithoutCancel(ctx))
	b.gone, b.leave = context.WithCancel(context.WithoutCancel(ctx))
	b.background.Go(b.trimmer.run)
	return b, nil
}

// Lost is how many records this broker found to be removed from the server before the group that it reads for had settled them, by
// XTRIM or XDEL, say. Each time it is also logged as an error.
func (b *Broker) Lost() uint64 { return b.lost.Load() }

// Close waits until everything that Publish has accepted is stored or has failed, which takes at most the publish timeout. Then
// it takes the partitions from calls of Consume that still run, which end with [broker.ErrClosed], and closes the connections.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.close()
	b.mu.Unlock()
	b.publishing.Wait()
	b.leave()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.working.Wait()
	}()
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		b.cfg.Log.LogAttrs(context.Background(), slog.LevelWarn, "the broker was closed while partitions were still being handled")
	}
	err := b.client.Close()
	b.background.Wait()
	if err != nil {
		return fmt.Errorf("redis: close: %w", err)
	}
	return nil
}

// begin notes a call that works with the server until end is called, unless the broker is closed.
func (b *Broker) begin() (end func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing.Err() != nil {
		return nil, broker.ErrClosed
	}
	b.working.Add(1)
	return b.working.Done, nil
}

// memberName tells people where an owner runs, and is different for each.
func memberName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:12])
}
