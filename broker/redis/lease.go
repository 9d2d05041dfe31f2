package redis

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/internal/lease"
)

// cell is a hash with a value and its version.
type cell struct {
	b   *Broker
	key string
}

var _ lease.Register = (*cell)(nil)

// swap writes the value if the version is as expected.
var swap = goredis.NewScript(`
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if version ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'value', ARGV[1], 'version', ARGV[2] + 1)
return 1`)

// Load implements [lease.Register].
func (c *cell) Load(ctx context.Context) ([]byte, uint64, error) {
	var at struct {
		Value   string `redis:"value"`
		Version uint64 `redis:"version"`
	}
	if err := c.b.client.HGetAll(ctx, c.key).Scan(&at); err != nil {
		return nil, 0, fmt.Errorf("redis: read the owners in %s: %w", c.key, explain(err))
	}
	return []byte(at.Value), at.Version, nil
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
