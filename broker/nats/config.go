package nats

import (
	"fmt"
	"log/slog"
	"time"
)

// Config has a useful zero value.
type Config struct {
	// Replicas is on how many servers a new topic is kept. Default: 3 on a cluster of three or more, else 1.
	Replicas int
	// Partitions is how many partitions a new topic has that does not say so itself. Default 8.
	Partitions int
	// Retention is how long a new topic that does not say so itself keeps records. Default 7 days.
	Retention time.Duration
	// DuplicateWindow is how long the server remembers IDs. It costs the server about 150 bytes for each record published
	// within it. Default 2 minutes; it must not be shorter than the publish timeout.
	DuplicateWindow time.Duration
	// LeaseTTL is after how long the partitions of a replica that died go to another. All replicas must agree. Default 10 seconds.
	LeaseTTL time.Duration
	// Exclusive says that no other process can be using the server, so that partitions of one that died need not be waited for.
	Exclusive bool
	// PublishTimeout is for how long a record that the server does not confirm is sent again before it fails. Default 30 seconds.
	PublishTimeout time.Duration
	// BufferRecords and BufferBytes are how much Publish accepts ahead of the server. Defaults 32,768 and 64 MiB.
	BufferRecords, BufferBytes int
	// PrefetchRecords and PrefetchBytes are how much of each partition is asked from the server ahead of Fetch. Defaults 1024 and 4 MiB.
	PrefetchRecords, PrefetchBytes int
	// Log gets what happens without anybody asking: connections and partitions lost and found again. Default slog.Default.
	Log *slog.Logger
}

// ackEvery is the least time between two positions that one partition tells the server.
const ackEvery = 10 * time.Millisecond

// Requests to the server have a time limit that begins short and doubles: a server that has just started loses what it is
// asked before JetStream is up, without a word.
const (
	shortTry = time.Second
	longTry  = 8 * time.Second
)

// apiTimeout bounds a request that is made once.
const apiTimeout = longTry

func (c Config) withDefaults() (Config, error) {
	for name, n := range map[string]int64{
		"Replicas": int64(c.Replicas), "Partitions": int64(c.Partitions), "Retention": int64(c.Retention), "DuplicateWindow": int64(c.DuplicateWindow),
		"LeaseTTL": int64(c.LeaseTTL), "PublishTimeout": int64(c.PublishTimeout), "BufferRecords": int64(c.BufferRecords),
		"BufferBytes": int64(c.BufferBytes), "PrefetchRecords": int64(c.PrefetchRecords), "PrefetchBytes": int64(c.PrefetchBytes),
	} {
		if n < 0 {
			return c, fmt.Errorf("nats: Config.%s is %d; it must not be negative", name, n)
		}
	}
	setDefault(&c.Partitions, 8)
	setDefault(&c.Retention, 7*24*time.Hour)
	setDefault(&c.LeaseTTL, 10*time.Second)
	setDefault(&c.PublishTimeout, 30*time.Second)
	setDefault(&c.DuplicateWindow, max(2*time.Minute, c.PublishTimeout))
	setDefault(&c.BufferRecords, 32<<10)
	setDefault(&c.BufferBytes, 64<<20)
	setDefault(&c.PrefetchRecords, 1024)
	setDefault(&c.PrefetchBytes, 4<<20)
	if c.DuplicateWindow < c.PublishTimeout {
		return c, fmt.Errorf("nats: Config.DuplicateWindow %v is shorter than PublishTimeout %v: a record could be stored twice", c.DuplicateWindow, c.PublishTimeout)
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
