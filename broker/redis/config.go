package redis

import (
	"fmt"
	"log/slog"
	"time"
)

// Config has a useful zero value.
type Config struct {
	// Partitions is how many partitions a new topic has that does not say so itself. Default 4.
	Partitions int
	// Retention is how long a new topic that does not say so itself keeps records. Redis keeps them in memory, so it is
	// shorter than elsewhere: default 24 hours. What a group has not settled is kept for longer, for as long as it takes.
	Retention time.Duration
	// MaxRecords is how many records a partition of a new topic keeps at most, besides what a group has not settled. Default: no limit.
	MaxRecords int
	// MaxRecordBytes is how large a record may be, with key and headers. Default 8 MiB, at most 512 MiB.
	MaxRecordBytes int
	// LeaseTTL is after how long the partitions of a replica that died go to another. All replicas must agree. Default 10 seconds.
	LeaseTTL time.Duration
	// PublishTimeout is for how long a record that the server does not confirm is sent again before it fails. Default 30 seconds.
	PublishTimeout time.Duration
	// BufferRecords and BufferBytes are how much Publish accepts ahead of the server. Defaults 32,768 and 64 MiB.
	BufferRecords, BufferBytes int
	// PrefetchRecords and PrefetchBytes are how much of each partition is read ahead of Fetch. Defaults 1024 and 4 MiB. Redis can't
	// limit what it sends by bytes: how many records are asked for follows from the size of those before.
	PrefetchRecords, PrefetchBytes int
	// Log gets what happens without anybody asking: partitions lost and found again, and a server that keeps nothing on its
	// disk. Default slog.Default.
	Log *slog.Logger
}

// maxBulk is what Redis takes as one value (proto-max-bulk-len).
const maxBulk = 512 << 20

// Requests to the server have a time limit that begins short and doubles: who asks a server that hangs, or is being replaced, soon asks again.
const (
	shortTry = time.Second
	longTry  = 8 * time.Second
)

// apiTimeout bounds a request that is made once.
const apiTimeout = longTry

func (c Config) withDefaults() (Config, error) {
	for name, n := range map[string]int64{
		"Partitions": int64(c.Partitions), "Retention": int64(c.Retention), "MaxRecords": int64(c.MaxRecords), "MaxRecordBytes": int64(c.MaxRecordBytes),
		"LeaseTTL": int64(c.LeaseTTL), "PublishTimeout": int64(c.PublishTimeout), "BufferRecords": int64(c.BufferRecords),
		"BufferBytes": int64(c.BufferBytes), "PrefetchRecords": int64(c.PrefetchRecords), "PrefetchBytes": int64(c.PrefetchBytes),
	} {
		if n < 0 {
			return c, fmt.Errorf("redis: Config.%s is %d; it must not be negative", name, n)
		}
	}
	setDefault(&c.Partitions, 4)
	setDefault(&c.Retention, 24*time.Hour)
	setDefault(&c.MaxRecordBytes, 8<<20)
	setDefault(&c.LeaseTTL, 10*time.Second)
	setDefault(&c.PublishTimeout, 30*time.Second)
	setDefault(&c.BufferRecords, 32<<10)
	setDefault(&c.BufferBytes, 64<<20)
	setDefault(&c.PrefetchRecords, 1024)
	setDefault(&c.PrefetchBytes, 4<<20)
	if c.MaxRecordBytes > maxBulk {
		return c, fmt.Errorf("redis: Config.MaxRecordBytes is %d; Redis takes at most %d", c.MaxRecordBytes, maxBulk)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c, nil
}

func setDefault[T int | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}
