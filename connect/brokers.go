package connect

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker/kafka"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/broker/nats"
)

func brokers() []scheme {
	return []scheme{
		{"nats", (*opener).openNATS},
		{"tls", (*opener).openNATS},
		{"kafka", (*opener).openKafka},
		{"kafka+tls", (*opener).openKafka},
		{"redis", (*opener).openRedis},
		{"rediss", (*opener).openRedis},
		{"redis+cluster", (*opener).openRedis},
		{"rediss+cluster", (*opener).openRedis},
		{"redis+sentinel", (*opener).openRedis},
		{"rediss+sentinel", (*opener).openRedis},
		{"embedded", (*opener).openEmbeddedBroker},
		{"memory", (*opener).openMemoryBroker},
	}
}

func (o *opener) openNATS(ctx context.Context, a *address) error {
	cfg := nats.Config{Log: o.cfg.Log}
	a.options.number("replicas", &cfg.Replicas)
	a.options.duration("duplicate_window", &cfg.DuplicateWindow)
	a.options.duration("lease_ttl", &cfg.LeaseTTL)
	a.natsTopics(&cfg)
	var creds, nkey string
	a.options.text("creds", &creds)
	a.options.text("nkey", &nkey)
	files := a.options.tls()
	if err := errors.Join(a.options.err(), a.noPath()); err != nil {
		return err
	}
	encryption, err := files.config(a.isEncrypted())
	if err != nil {
		return err
	}
	options, err := a.natsLogin(creds, nkey)
	if err != nil {
		return err
	}
	if encryption != nil {
		options = append(options, natsgo.Secure(encryption))
	}
	// Without a handler the library prints to standard error.
	options = append(options, natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) {
		o.cfg.Log.LogAttrs(context.Background(), slog.LevelDebug, "the NATS client reports", slog.Any("error", err))
	}))
	b, err := nats.Open(ctx, a.urls(), cfg, options...)
	if err != nil {
		return err
	}
	o.closes(b)
	o.c.Broker = b
	return nil
}

// natsLogin is how to log in: by files, or by what the URL says. That goes by options, since the library might print URLs.
func (a *address) natsLogin(creds, nkey string) ([]natsgo.Option, error) {
	var options []natsgo.Option
	if creds != "" {
		options = append(options, natsgo.UserCredentials(creds))
	}
	if nkey != "" {
		seed, err := natsgo.NkeyOptionFromSeed(nkey)
		if err != nil {
			return nil, errors.New("option nkey: the file holds no seed of a user's nkey")
		}
		options = append(options, seed)
	}
	switch {
	case a.password != "":
		options = append(options, natsgo.UserInfo(a.user, a.password))
	case a.user != "":
		options = append(options, natsgo.Token(a.user))
	}
	return options, nil
}

// natsTopics reads what NATS servers everywhere have, embedded or not.
func (a *address) natsTopics(cfg *nats.Config) {
	a.options.number("partitions", &cfg.Partitions)
	a.options.duration("retention", &cfg.Retention)
	a.options.duration("publish_timeout", &cfg.PublishTimeout)
}

func (o *opener) openKafka(ctx context.Context, a *address) error {
	cfg := kafka.Config{Log: o.cfg.Log}
	a.options.number("partitions", &cfg.Partitions)
	a.options.duration("retention", &cfg.Retention)
	a.options.duration("publish_timeout", &cfg.PublishTimeout)
	a.options.number("replication", &cfg.Replication)
	a.options.text("client_id", &cfg.ClientID)
	a.options.oneOf("compression", &cfg.Compression, "snappy", "lz4", "zstd", "gzip", "none")
	a.options.duration("session_timeout", &cfg.SessionTimeout)
	a.options.duration("hand_over", &cfg.HandOver)
	a.options.text("instance_id", &cfg.InstanceID)
	a.options.flag("server_balancer", &cfg.ServerBalancer)
	var mechanism string
	a.options.oneOf("sasl", &mechanism, "plain", "scram-sha-256", "scram-sha-512")
	files := a.options.tls()
	if err := errors.Join(a.options.err(), a.noPath()); err != nil {
		return err
	}
	var err error
	if cfg.TLS, err = files.config(a.isEncrypted()); err != nil {
		return err
	}
	switch {
	case a.user != "" && mechanism == "":
		return errors.New("the URL has a user: say how to log in with option sasl=plain, scram-sha-256 or scram-sha-512")
	case a.user == "" && mechanism != "":
		return errors.New("option sasl needs a user and a password: kafka://USER:PASSWORD@HOST:PORT")
	}
	cfg.SASL = kafka.SASL{Mechanism: strings.ToUpper(mechanism), User: a.user, Password: a.password}
	b, err := kafka.Open(ctx, a.hosts, cfg)
	if err != nil {
		return err
	}
	o.closes(b)
	o.c.Broker = b
	return nil
}

func (o *opener) openEmbeddedBroker(ctx context.Context, a *address) error {
	cfg := nats.Config{Log: o.cfg.Log}
	a.natsTopics(&cfg)
	if err := a.options.err(); err != nil {
		return err
	}
	return o.openNode(ctx, a, cfg)
}

func (o *opener) openMemoryBroker(_ context.Context, a *address) error {
	var cfg memory.Config
	a.options.number("partitions", &cfg.Partitions)
	a.options.number("retain", &cfg.Retain)
	if err := errors.Join(a.options.err(), a.noPath()); err != nil {
		return err
	}
	b := memory.New(cfg)
	o.closes(b)
	o.c.Broker = b
	return nil
}
