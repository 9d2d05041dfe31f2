package redis

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/internal/lease"
)

// cell is a hash with a value, its version, and the server's time at which it was written.
type cell struct {
	b   *Broker
	key string
}

var _ lease.Register = (*cell)(nil)

// swap writes the value if the version is as expected.
var swap = goredis.NewScript(`
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if version ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'value', ARGV[1], 'version', ARGV[2] + 1, 'written', redis.call('TIME')[1])
return 1`)

// cellHash is a cell as the server has it.
type cellHash struct {
	Value   string `redis:"value"`
	Version uint64 `redis:"version"`
	Written int64  `redis:"written"` // seconds
}

func (c *cell) read(ctx context.Context) (cellHash, error) {
	var h cellHash
	if err := c.b.client.HGetAll(ctx, c.key).Scan(&h); err != nil {
		return h, fmt.Errorf("redis: read the owners in %s: %w", c.key, explain(err))
	}
	return h, nil
}

// Load implements [lease.Register].
func (c *cell) Load(ctx context.Context) ([]byte, uint64, error) {
	h, err := c.read(ctx)
	return []byte(h.Value), h.Version, err
}

// Swap implements [lease.Register].
func (c *cell) Swap(ctx context.Context, value []byte, version uint64) (uint64, error) {
	swapped, err := swap.Run(ctx, c.b.client, []string{c.key}, value, version).Bool()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return 0, fmt.Errorf("redis: write the owners in %s: %w", c.key, explain(err))
	}
	if !swapped {
		return 0, lease.ErrConflict
	}
	return version + 1, nil
}

// members is how many replicas hold leases or wait for them. A table that nobody has written for long is that of processes that died.
func (c *cell) members(ctx context.Context) (int, error) {
	h, err := c.read(ctx)
	if err != nil || h.Version == 0 {
		return 0, err
	}
	now, err := c.b.client.Time(ctx).Result()
	if err != nil || now.Unix()-h.Written > int64((3*c.b.cfg.LeaseTTL).Seconds()) {
		return 0, explain(err)
	}
	return lease.Members([]byte(h.Value))
}
