package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/tidings-go/tidings/broker"
)

// poolSize is how many connections there may be to one server. They are made when they are needed.
const poolSize = 1000

// adapt sets the options that this package relies on.
func adapt(options *goredis.UniversalOptions) *goredis.UniversalOptions {
	o := *options
	o.Protocol = 2
	// A command whose answer was lost may have been done. What may be repeated is repeated by this package, which knows.
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = true
	o.DialerRetries = 1
	o.PipelinePoolSize = -1
	o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if o.PoolSize == 0 {
		o.PoolSize = poolSize
	}
	return &o
}

// node is the server that has a key.
func (b *Broker) node(ctx context.Context, key string) (*goredis.Client, error) {
	if cluster, ok := b.client.(*goredis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, key)
	}
	client, ok := b.client.(*goredis.Client)
	if !ok {
		return nil, fmt.Errorf("a client of type %T is not supported: %w", b.client, errors.ErrUnsupported)
	}
	return client, nil
}

// lookAgain is called after an error: in a cluster a key may have moved.
func (b *Broker) lookAgain(ctx context.Context) {
	if cluster, ok := b.client.(*goredis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// checkServers refuses servers that lack what this package needs, and warns of those that forget.
func (b *Broker) checkServers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	check := func(ctx context.Context, c *goredis.Client) error {
		info, err := c.InfoMap(ctx, "server", "persistence", "memory").Result()
		if err != nil {
			return err
		}
		return b.checkServer(ctx, c.Options().Addr, info)
	}
	return explain(b.eachServer(ctx, check))
}

// eachServer does something with each server that has keys of its own, at the same time.
func (b *Broker) eachServer(ctx context.Context, do func(context.Context, *goredis.Client) error) error {
	if cluster, ok := b.client.(*goredis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, do)
	}
	client, err := b.node(ctx, "")
	if err != nil {
		return err
	}
	return do(ctx, client)
}

func (b *Broker) checkServer(ctx context.Context, address string, info map[string]map[string]string) error {
	var major int
	version := info["Server"]["redis_version"]
	if _, err := fmt.Sscanf(version, "%d.", &major); err == nil && major < 7 {
		return fmt.Errorf("the server is version %s; tidings needs Redis 7.0 or newer: upgrade it", version)
	}
	warn := func(what, remedy string) {
		b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "the Redis server may forget what it has acknowledged",
			slog.String("server", address), slog.String("because", what), slog.String("remedy", remedy))
	}
	if info["Persistence"]["aof_enabled"] == "0" {
		warn("appendonly is off: when it restarts, records and positions since the last snapshot are gone",
			"set appendonly yes, and appendfsync always if it must survive power failures")
	}
	if policy := info["Memory"]["maxmemory_policy"]; policy != "" && policy != "noeviction" && info["Memory"]["maxmemory"] != "0" {
		warn("maxmemory-policy is "+policy+": when its memory is full it throws keys away, topics too", "set maxmemory-policy noeviction")
	}
	return nil
}

func connectError(o *goredis.UniversalOptions, err error) error {
	where := strings.Join(o.Addrs, ",")
	if o.MasterName != "" {
		where += "/" + o.MasterName
	}
	if goredis.IsAuthError(err) && o.Username != "" {
		where += fmt.Sprintf(" as %q", o.Username)
	}
	if _, unreached := errors.AsType[*net.OpError](err); unreached {
		return fmt.Errorf("redis: connect to %s: nobody answers there: is Redis running, and the address right? %w", where, err)
	}
	return fmt.Errorf("redis: connect to %s: %w", where, err)
}

// explain adds the remedy to errors that have one.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case goredis.IsAuthError(err):
		return fmt.Errorf("authentication failed: check user and password: %w", err)
	case goredis.IsPermissionError(err):
		return fmt.Errorf("not authorized: the ACL of this user must allow keys and channels tidings:* and all commands on streams: %w", err)
	case goredis.IsOOMError(err):
		return fmt.Errorf("the server's memory is full: give it more (maxmemory), keep less (retention), or remove groups that nobody reads with: %w", err)
	case errors.Is(err, goredis.ErrClosed):
		return fmt.Errorf("%w: %w", broker.ErrClosed, err)
	case strings.HasPrefix(err.Error(), "WRONGTYPE"):
		return fmt.Errorf("%w: %w", errForeign, err)
	default:
		return err
	}
}

// errForeign says that a key of ours holds something else.
var errForeign = errors.New("the key holds something that tidings has not made")
