// Package connect opens the broker and the store that URLs name, so that a program changes where it runs by changing two strings.
//
//	c, err := connect.Open(ctx, connect.Config{Broker: "kafka://localhost:9092", Store: "postgres://app@localhost/shop"})
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	app := tidings.New(tidings.Config{Service: "shop", Broker: c.Broker, Store: c.Store})
//
// Tools that need only one of the two call [Broker] or [Store].
//
// # URLs
//
// Options follow a question mark: "nats://localhost?partitions=16&retention=30d". One that a scheme does not have is refused by name, with the
// list of those that it has. Durations are written as Go does ("90s", "1h30m") or in days ("7d"), switches as true or false. Several
// servers are separated by commas: "kafka://one:9092,two:9092". User and password stand before the first server; in them '@', '/', '?', '#' and
// '%' are percent-encoded ("%40" for '@'). No error contains a password.
//
// Brokers:
//
//	nats://[USER:PASSWORD@ or TOKEN@]HOST[:4222],…      NATS JetStream; tls:// is the same, encrypted
//	    partitions, retention    what a new topic has that does not say so itself
//	    replicas                 on how many servers a new topic is kept
//	    publish_timeout          for how long a record that nobody confirms is sent again
//	    duplicate_window         how long the server remembers the ids of records
//	    lease_ttl                after how long the partitions of a dead replica go to another
//	    creds, nkey              files to log in with
//	    tls_ca, tls_cert, tls_key, tls_server_name
//	                             files with the authority and our own certificate, and the name that the server's must have
//	kafka://[USER:PASSWORD@]HOST[:9092],…               Apache Kafka; kafka+tls:// is the same, encrypted
//	    partitions, retention, publish_timeout, tls_ca, tls_cert, tls_key, tls_server_name
//	                             as above
//	    replication              on how many brokers a new topic is kept
//	    sasl                     how to log in: plain, scram-sha-256 or scram-sha-512
//	    client_id                what the brokers log and count us as
//	    compression              snappy, lz4, zstd, gzip or none
//	    session_timeout          after how long without a sign of life the partitions of a replica go to another
//	    hand_over                how long a partition that moves may take to finish
//	    instance_id              makes the replica a static member of its groups
//	    server_balancer          lets the brokers divide partitions (KIP-848)
//	redis://[USER:PASSWORD@]HOST[:6379][/DB]            Redis Streams; rediss:// is the same, encrypted. For a cluster
//	                                                    redis+cluster://HOST,…, for sentinels redis+sentinel://HOST[:26379],…/MASTER
//	    partitions, retention, publish_timeout, lease_ttl, tls_ca, tls_cert, tls_key, tls_server_name
//	                             as above
//	    max_records              how many records a partition of a new topic keeps at most
//	    client_name, dial_timeout, read_timeout, write_timeout, pool_size
//	                             what the server calls us, and how to talk to it
//	    sentinel_username, sentinel_password
//	                             how to log in with sentinels
//	embedded:DIR                                        NATS JetStream in this process, its data in a folder
//	    partitions, retention, publish_timeout
//	                             as above
//	memory:                                             in this process, gone with it
//	    partitions               as above
//	    retain                   how many settled records a partition keeps
//
// Stores:
//
//	sqlite:FILE or sqlite:///ABSOLUTE/FILE              an SQLite database
//	    busy_timeout             how long a transaction waits for one of another process
//	    connections              how many connections read at the same time
//	    retention                how long the inbox remembers a message
//	    poll                     how often to look for what another process has committed
//	    max_rows, max_age        how many rows, or how old ones, the outbox may hold
//	postgres://[USER:PASSWORD@]HOST[:5432],…/DATABASE   a PostgreSQL database; postgresql:// is the same
//	    schema                   where tidings' tables are
//	    direct                   the URL, percent-encoded, by which relays reach the server past a pooler of transactions
//	    retention                how long the inbox remembers a message
//	    max_bytes, max_rows, max_age
//	                             how large a row may be, and how many rows, or how old ones, the outbox may hold
//	    poll, lease              how long an idle relay waits, and how long lanes stay with one that is not heard of
//	    sslmode, sslrootcert, sslcert, sslkey, connect_timeout, application_name, target_session_attrs, default_query_exec_mode,
//	    search_path, pool_max_conns, pool_min_conns, pool_max_conn_lifetime, pool_max_conn_idle_time
//	                             as for psql and pgx; pool_max_conns is 20 if it is not there
//	embedded:DIR                                        the SQLite database in the folder of an embedded broker
//	    busy_timeout, connections, retention, poll, max_rows, max_age
//	                             as above
//	memory:                                             in this process, gone with it; it takes no options
package connect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// Config says what to open.
type Config struct {
	// Broker and Store are URLs. What is empty is not opened.
	Broker, Store string
	// SQL asks for a store whose native transaction is *[store.SQLTx], and which has a *sql.DB. SQLite's is so anyway; PostgreSQL's is *postgres.Tx otherwise.
	SQL bool
	// Attach is for tools that look into what runs: where another process has the folder of an embedded broker, Open connects to that process.
	// Without it that is an error, since two services can't share an embedded broker.
	Attach bool
	// Log gets what happens without anybody asking. Default slog.Default().
	Log *slog.Logger
}

// Connection is an open broker and an open store. Whoever opened it closes it, after everything that uses it.
type Connection struct {
	// Broker is nil when none was asked for.
	Broker broker.Broker
	// Store is nil when none was asked for.
	Store Database
	// DB is the database that Store is in, for the program's own reading. It is nil for stores that are not over database/sql.
	DB *sql.DB

	closers []func() error
}

// Database is a store, and what tools ask of it.
type Database interface {
	store.Store
	store.Admin
}

// BrokerCloser is a broker that its opener closes.
type BrokerCloser interface {
	broker.Broker
	io.Closer
}

// StoreCloser is a store that its opener closes.
type StoreCloser interface {
	Database
	io.Closer
}

// Open opens the broker and the store. ctx bounds only the opening. When both are the same embedded folder, they are one node.
func Open(ctx context.Context, cfg Config) (*Connection, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	o := opener{cfg: cfg, c: &Connection{}}
	err := o.open(ctx)
	if err != nil {
		return nil, errors.Join(err, o.c.Close())
	}
	return o.c, nil
}

// Broker opens the broker at a URL. If that is an embedded one that another process runs, it connects to that process.
func Broker(ctx context.Context, url string) (BrokerCloser, error) {
	c, err := Open(ctx, Config{Broker: url, Attach: true})
	if err != nil {
		return nil, err
	}
	if c.Broker == nil {
		return nil, fmt.Errorf("connect: the broker's URL is empty: want one of %s", listed(names(brokers())))
	}
	return openBroker{c.Broker, c}, nil
}

// Store opens the store at a URL, with the native transaction that is its own: *sqlite.Tx, *postgres.Tx.
func Store(ctx context.Context, url string) (StoreCloser, error) {
	c, err := Open(ctx, Config{Store: url})
	if err != nil {
		return nil, err
	}
	if c.Store == nil {
		return nil, fmt.Errorf("connect: the store's URL is empty: want one of %s", listed(names(stores())))
	}
	return openStore{c.Store, c}, nil
}

// Close closes the store, then the broker. Closing again does nothing.
func (c *Connection) Close() error {
	var errs []error
	for len(c.closers) > 0 {
		last := len(c.closers) - 1
		closeIt := c.closers[last]
		c.closers = c.closers[:last]
		errs = append(errs, closeIt())
	}
	return errors.Join(errs...)
}

type openBroker struct {
	broker.Broker
	io.Closer
}

type openStore struct {
	Database
	io.Closer
}
