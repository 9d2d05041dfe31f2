// Package embedded is a broker and a store in one folder, inside the program: NATS JetStream and SQLite. There is nothing to install and
// nothing to run beside it.
//
//	node, err := embedded.Open(ctx, "data", embedded.Config{})
//	if err != nil {
//		return err
//	}
//	defer node.Close()
//	app := tidings.New(tidings.Config{Service: "tickets", Broker: node.Broker(), Store: node.Store()})
//
// What was acknowledged survives a kill -9 and a power cut: JetStream syncs every write before it answers (many at once, by atomic
// batches), SQLite runs with synchronous=FULL. On an ephemeral file system everything is lost with the file system. Back up the folder as a
// whole: broker and store belong together.
//
// One process has the folder at a time. Others, such as the command line, reach the broker of the running one with [Attach]. A service that needs
// more than one process moves to a NATS cluster or Kafka, and PostgreSQL; its code stays as it is.
package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/store/sqlite"
)

// ErrInUse says that another process has the folder.
var ErrInUse = errors.New("another process uses the folder")

// forever is the retention of topics that nobody else could keep.
const forever = 100 * 365 * 24 * time.Hour

// Database is the name of the store's file in the folder.
const Database = "tidings.db"

// Config configures a node. The zero value is complete.
type Config struct {
	// Broker and Store configure the two parts. Messages are kept for ever, unless Broker.Retention says otherwise: limit it for topics that grow.
	Broker nats.Config
	Store  sqlite.Config
	// Start bounds the wait for the server to be ready, which after a crash reads its files. Default 30 s.
	Start time.Duration
	// Log gets what the two have to say. Default slog.Default().
	Log *slog.Logger
}

// Node is a running broker and an open store.
type Node struct {
	dir    string
	lock   *flock.Flock
	server *server.Server
	conn   *natsgo.Conn
	broker *nats.Broker
	store  *sqlite.Store

	closing sync.Once
	closed  error
}

// Open starts the broker and opens the store in dir, which is made if it does not exist. It fails with ErrInUse when another process has it.
func Open(ctx context.Context, dir string, cfg Config) (*Node, error) {
	if dir == "" {
		return nil, errors.New("embedded: open: the folder has no name")
	}
	cfg.Start = cmp.Or(cfg.Start, 30*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded: make the folder: %w", err)
	}
	n := &Node{dir: dir, lock: flock.New(filepath.Join(dir, "lock"))}
	locked, err := n.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("embedded: lock %s: %w", dir, err)
	}
	if !locked {
		return nil, fmt.Errorf("embedded: open %s: %w: end it, or attach to it", dir, ErrInUse)
	}
	if err := n.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, cfg Config) error {
	if err := n.startServer(ctx, cfg); err != nil {
		return err
	}
	cfg.Broker.Log = cmp.Or(cfg.Broker.Log, cfg.Log)
	cfg.Broker.Exclusive = true                                  // the lock on the folder says so
	cfg.Broker.Retention = cmp.Or(cfg.Broker.Retention, forever) // what waits for the next start must still be there then
	var err error
	if n.broker, err = nats.New(ctx, n.conn, cfg.Broker); err != nil {
		return fmt.Errorf("embedded: %w", err)
	}
	cfg.Store.Log = cmp.Or(cfg.Store.Log, cfg.Log)
	if n.store, err = sqlite.Open(ctx, filepath.Join(n.dir, Database), cfg.Store); err != nil {
		return fmt.Errorf("embedded: %w", err)
	}
	return nil
}

// startServer starts the NATS server and connects to it in process. It listens on a loopback port too, for Attach, and takes only who
// knows the token in the endpoint file.
func (n *Node) startServer(ctx context.Context, cfg Config) error {
	token := rand.Text()
	s, err := server.NewServer(&server.Options{
		ServerName:             "tidings",
		Host:                   "127.0.0.1",
		Port:                   server.RANDOM_PORT,
		Authorization:          token,
		JetStream:              true,
		StoreDir:               filepath.Join(n.dir, "nats"),
		SyncAlways:             true, // an acknowledged message survives a power cut
		NoSigs:                 true,
		DisableJetStreamBanner: true,
		MaxPayload:             8 << 20,
	})
	if err != nil {
		return fmt.Errorf("embedded: configure the broker: %w", err)
	}
	n.server = s
	log := serverLog{log: cfg.Log, fatal: make(chan error, 1)}
	s.SetLogger(log, false, false)
	s.Start()
	if err = awaitServer(ctx, s, log.fatal, cfg.Start); err != nil {
		return fmt.Errorf("embedded: start the broker, whose files are in %s: %w", filepath.Join(n.dir, "nats"), err)
	}
	if n.conn, err = natsgo.Connect("", natsgo.InProcessServer(s), natsgo.Token(token), natsgo.Name("tidings embedded")); err != nil {
		return fmt.Errorf("embedded: connect to the broker: %w", err)
	}
	return writeEndpoint(n.dir, endpoint{URL: s.ClientURL(), Token: token})
}

// awaitServer waits until the server can be used.
func awaitServer(ctx context.Context, s *server.Server, fatal <-chan error, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; {
		if s.ReadyForConnections(50 * time.Millisecond) {
			return nil
		}
		select {
		case err := <-fatal:
			return err
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it was not ready after %v", limit)
		}
	}
}

// Broker is the node's broker.
func (n *Node) Broker() *nats.Broker { return n.broker }

// Store is the node's store.
func (n *Node) Store() *sqlite.Store { return n.store }

// Close stops both and gives the folder up. End the app's Run first. Closing again does nothing.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closed = n.close() })
	return n.closed
}

func (n *Node) close() error {
	var errs []error
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.broker != nil {
		errs = append(errs, n.broker.Close())
	}
	if n.conn != nil {
		n.conn.Close()
	}
	if n.server != nil {
		errs = append(errs, removeEndpoint(n.dir))
		n.server.Shutdown()
		n.server.WaitForShutdown()
	}
	errs = append(errs, n.lock.Unlock())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("embedded: close: %w", err)
	}
	return nil
}
