package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/internal/lease"
)

// leaseBucket is the key-value bucket with one table of owners for each group and topic.
const leaseBucket = "tidings-leases"

// cell is one key of the bucket: compare-and-swap is by its revision.
type cell struct {
	kv  jetstream.KeyValue
	key string
}

var _ lease.Register = (*cell)(nil)

// Load implements [lease.Register].
func (c *cell) Load(ctx context.Context) ([]byte, uint64, error) {
	entry, err := c.kv.Get(ctx, c.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("nats: read the owners of %s: %w", c.key, err)
	}
	return entry.Value(), entry.Revision(), nil
}

// Swap implements [lease.Register].
func (c *cell) Swap(ctx context.Context, value []byte, version uint64) (uint64, error) {
	var revision uint64
	var err error
	if version == 0 {
		revision, err = c.kv.Create(ctx, c.key, value)
	} else {
		revision, err = c.kv.Update(ctx, c.key, value, version)
	}
	var api *jetstream.APIError
	if errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return 0, lease.ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("nats: write the owners of %s: %w", c.key, err)
	}
	return revision, nil
}

// bucket is the bucket of leases, made when it is missing.
func (b *Broker) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	b.mu.Lock()
	kv := b.leases
	b.mu.Unlock()
	if kv != nil {
		return kv, nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	kv, err := b.js.KeyValue(ctx, leaseBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = b.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: leaseBucket, Description: "who reads which partition of a tidings topic", Storage: jetstream.FileStorage, Replicas: b.replicas(),
		})
		if errors.Is(err, jetstream.ErrBucketExists) {
			kv, err = b.js.KeyValue(ctx, leaseBucket)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the bucket %s: %w", leaseBucket, err)
	}
	b.mu.Lock()
	b.leases = kv
	b.mu.Unlock()
	return kv, nil
}
