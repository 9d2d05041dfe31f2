package connect

import (
	"context"
	"net/url"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker/redis"
)

// clientOptions are those that broker/redis reads itself.
var clientOptions = []string{"client_name", "dial_timeout", "pool_size", "read_timeout", "write_timeout"}

func (o *opener) openRedis(ctx context.Context, a *address) error {
	cfg := redis.Config{Log: o.cfg.Log}
	a.options.number("partitions", &cfg.Partitions)
	a.options.duration("retention", &cfg.Retention)
	a.options.duration("publish_timeout", &cfg.PublishTimeout)
	a.options.number("max_records", &cfg.MaxRecords)
	a.options.duration("lease_ttl", &cfg.LeaseTTL)
	var sentinelUser, sentinelPassword string
	a.options.text("sentinel_username", &sentinelUser)
	a.options.secret("sentinel_password", &sentinelPassword)
	files := a.options.tls()
	client := url.Values{}
	for _, name := range clientOptions {
		var value string
		if a.options.text(name, &value); value != "" {
			client.Set(name, value)
		}
	}
	if err := a.options.err(); err != nil {
		return err
	}
	encryption, err := files.config(a.isEncrypted())
	if err != nil {
		return err
	}
	servers := url.URL{Scheme: a.scheme, Host: strings.Join(a.hosts, ","), Path: a.path, RawQuery: client.Encode()}
	// Users and passwords are not in it, since the library might print it.
	b, err := redis.Open(ctx, servers.String(), cfg, func(options *goredis.UniversalOptions) {
		options.Username, options.Password = a.user, a.password
		options.SentinelUsername, options.SentinelPassword = sentinelUser, sentinelPassword
		if encryption != nil {
			options.TLSConfig = encryption
		}
	})
	if err != nil {
		return err
	}
	o.closes(b)
	o.c.Broker = b
	return nil
}
