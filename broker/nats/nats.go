// Package nats is the broker on NATS JetStream.
//
//	b, err := nats.Open(ctx, "nats://localhost:4222", nats.Config{})
//	if err != nil {
//		return err
//	}
//	defer b.Close()
//
// It needs nats-server 2.12 or newer. What it keeps on the server, and under which names:
//
//   - A topic is one stream, named "tidings_" and the topic with '=' for '.'. Partition 3 of the topic "shop.orders" is the
//     subject "tidings.t.shop=orders.3"; what is published live goes to "tidings.live.shop=orders", which no stream captures.
//   - The position of a group in a partition is the acknowledgement floor of the durable consumer "group-p3-e7-1": partition 3, epoch 7, first
//     attempt. Its backlog is what the nats command line shows as unprocessed.
//   - Who owns which partition is a key "group/topic" of the key-value bucket "tidings-leases".
//
// # Order and failures
//
// JetStream's consumers, pinned ones too, let two clients have one key at the same time when one of them stalls. So each
// partition has one owner by a lease, and each owner reads from a consumer of its own, which begins where that of the owner
// before ended; after that it deletes the other. What a late owner acknowledges then reaches nobody.
//
// Records are stored by atomic batches: all of a batch or nothing, in one write. A batch whose answer was lost is sent again as
// it was, with the same message IDs, until the server says that it has it. Only then the next one leaves, so that a server
// that is killed and comes back can't turn the order of a key around. While one batch is on its way the next one gathers: an
// idle publisher waits for nothing, a busy one pays one round trip and one write to disk for up to 1000 records.
//
// The server forgets IDs after [Config.DuplicateWindow]. A record that is published again later than that is stored again.
package nats

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/room"
)

// Broker is a [broker.Broker] on one NATS connection.
type Broker struct {
	cfg  Config
	nc   *natsgo.Conn
	js   jetstream.JetStream
	link *link
	room *room.Room
	// member is what this broker calls itself among the owners of partitions.
	member string
	// owned says that Close ends the connection, because Open began it.
	owned bool

	// closing ends when Close begins: nothing new is accepted. gone ends when the connection is about to be left.
	closing, gone context.Context
	close, leave  context.CancelFunc
	// working are the calls of Consume and Listen, publishing the lanes that have something to send.
	working, publishing sync.WaitGroup

	mu     sync.Mutex
	topics map[string]*topic
	lanes  map[string]*lane
	leases jetstream.KeyValue
}

var _ broker.Broker = (*Broker)(nil)

// farewell is how long Close waits for calls of Consume whose partitions it has taken away.
const farewell = 2 * time.Second

// Open connects to the NATS server at a URL (several, with commas, for a cluster). The connection comes back by itself whenever
// it is lost, for as long as it takes. Options are those of nats.go: credentials, TLS and so on.
func Open(ctx context.Context, servers string, cfg Config, options ...natsgo.Option) (*Broker, error) {
	options = append([]natsgo.Option{
		natsgo.Name("tidings"),
		natsgo.MaxReconnects(-1),
		natsgo.ReconnectWait(200 * time.Millisecond),
		natsgo.ReconnectJitter(100*time.Millisecond, 200*time.Millisecond),
		natsgo.IgnoreAuthErrorAbort(),
		// A server that does not answer any more is noticed within seconds, not minutes.
		natsgo.PingInterval(5 * time.Second),
		natsgo.FlusherTimeout(10 * time.Second),
	}, options...)
	nc, err := natsgo.Connect(servers, options...)
	if err != nil {
		return nil, connectError(servers, err)
	}
	b, err := New(ctx, nc, cfg)
	if err != nil {
		nc.Close()
		return nil, err
	}
	b.owned = true
	return b, nil
}

// New makes a broker on a connection that somebody else opened, and will close after the broker. The connection should be made
// with MaxReconnects(-1): when it gives up, so does the broker.
func New(ctx context.Context, nc *natsgo.Conn, cfg Config) (*Broker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	if err := checkServer(ctx, nc, js); err != nil {
		return nil, err
	}
	b := &Broker{
		cfg: cfg, nc: nc, js: js, link: newLink(nc), room: room.New(cfg.BufferRecords, cfg.BufferBytes), member: rand.Text(),
		topics: map[string]*topic{}, lanes: map[string]*lane{},
	}
	b.closing, b.close = context.WithCancel(context.WithoutCancel(ctx))
	b.gone, b.leave = context.WithCancel(context.WithoutCancel(ctx))
	return b, nil
}

// Close waits until everything that Publish has accepted is stored or has failed, which takes at most the publish timeout. Then
// it takes the partitions from calls of Consume that still run, which end with [broker.ErrClosed], and closes the connection if Open made it.
func (b *Broker) Close() error {
	b.close()
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
	b.link.close()
	if b.owned {
		b.nc.Close()
	}
	return nil
}

// begin notes a call that works with the connection until end is called, unless the broker is closed.
func (b *Broker) begin(what string) (end func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing.Err() != nil {
		return nil, fmt.Errorf("nats: %s: %w", what, broker.ErrClosed)
	}
	b.working.Add(1)
	return b.working.Done, nil
}

func connectError(servers string, err error) error {
	where := redacted(servers)
	switch {
	case errors.Is(err, natsgo.ErrAuthorization), errors.Is(err, natsgo.ErrAuthExpired):
		return fmt.Errorf("nats: connect to %s: authentication failed: check user, password, token or creds file: %w", where, err)
	case errors.Is(err, natsgo.ErrNoServers):
		return fmt.Errorf("nats: connect to %s: nobody answers there: is nats-server running, and the address right? %w", where, err)
	default:
		return fmt.Errorf("nats: connect to %s: %w", where, err)
	}
}

// redacted is server URLs, with commas, without their passwords.
func redacted(servers string) string {
	urls := strings.Split(servers, ",")
	for i := range urls {
		text := strings.TrimSpace(urls[i])
		if !strings.Contains(text, "://") {
			text = "nats://" + text
		}
		u, err := url.Parse(text)
		if err != nil {
			return "the given servers"
		}
		urls[i] = u.Redacted()
	}
	return strings.Join(urls, ",")
}

// checkServer refuses servers that lack what this package needs. The connection alone does not tell.
func checkServer(ctx context.Context, nc *natsgo.Conn, js jetstream.JetStream) error {
	where := nc.ConnectedUrlRedacted()
	var major, minor int
	if _, err := fmt.Sscanf(nc.ConnectedServerVersion(), "%d.%d", &major, &minor); err == nil && (major < 2 || major == 2 && minor < 12) {
		return fmt.Errorf("nats: the server at %s is version %s; tidings needs atomic batches, which nats-server has from 2.12 on: upgrade it",
			where, nc.ConnectedServerVersion())
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err := js.AccountInfo(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("nats: the server at %s runs without JetStream: start it with -js (or enable it for the account): %w", where, err)
	default:
		return fmt.Errorf("nats: ask the server at %s for JetStream: %w", where, err)
	}
}
