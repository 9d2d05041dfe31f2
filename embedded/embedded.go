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
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/store/sqlite"
)

// ErrInUse says that another process has the folder.
var ErrInUse = errors.New("another process uses the folder")

// Config configures a node. The zero value is complete.
type Config struct {
	// Broker and Store configure the two parts.
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
	if err := n.startServer(cfg); err != nil {
		return err
	}
	cfg.Broker.Log = cmp.Or(cfg.Broker.Log, cfg.Log)
	cfg.Broker.Exclusive = true // the lock on the folder says so
	var err error
	if n.broker, err = nats.New(ctx, n.conn, cfg.Broker); err != nil {
		return fmt.Errorf("embedded: %w", err)
	}
	cfg.Store.Log = cmp.Or(cfg.Store.Log, cfg.Log)
	if n.store, err = sqlite.Open(ctx, filepath.Join(n.dir, "tidings.db"), cfg.Store); err != nil {
		return fmt.Errorf("embedded: %w", err)
	}
	return nil
}

// startServer starts the NATS server and connects to it in process. It listens on a loopback port too, for Attach, and takes only who
// knows the token in the endpoint file.
func (n *Node) startServer(cfg Config) error {
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
	s.SetLogger(serverLog{cfg.Log}, false, false)
	s.Start()
	if !s.ReadyForConnections(cfg.Start) {
		return fmt.Errorf("embedded: the broker was not ready after %v; its files are in %s", cfg.Start, filepath.Join(n.dir, "nats"))
	}
	if n.conn, err = natsgo.Connect("", natsgo.InProcessServer(s), natsgo.Token(token), natsgo.Name("tidings embedded")); err != nil {
		return fmt.Errorf("embedded: connect to the broker: %w", err)
	}
	return writeEndpoint(n.dir, endpoint{URL: s.ClientURL(), Token: token})
}

// Broker is the node's broker.
func (n *Node) Broker() *nats.Broker { return n.broker }

// Store is the node's store.
func (n *Node) Store() *sqlite.Store { return n.store }

// Close stops both and gives the folder up. End the app's Run first.
func (n *Node) Close() error {
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
