package postgres

import (
	"fmt"
	"log/slog"
	"regexp"
	"time"
)

// Config holds what is optional. The zero value is useful.
type Config struct {
	// Schema is where tidings' tables are: lower-case letters, digits and underscores, at most 40. Default "tidings".
	Schema string
	// SQL makes the native transaction a [store.SQLTx] over database/sql, which store/sqlite has too, in place of pgx's [Tx].
	SQL bool
	// Direct is the URL by which relays reach the server when the store's own URL leads through a pooler of transactions such as PgBouncer. A
	// relay keeps a session of its own. Default: as the store.
	Direct string
	// Retention is how long claims (inbox and idempotency keys) are remembered: longer than any message may come late or again. Default 14 days.
	Retention time.Duration
	// Retries is how often a transaction that PostgreSQL gave up because of others (a deadlock, or no serial order) is run again, from the
	// start of its function. Default 3; negative is never.
	Retries int
	// MaxBytes is how large a row may be, with its headers. A larger one is refused with [broker.ErrTooLarge] while its transaction can still
	// do something about it; set it to what the broker takes. Default 16 MiB.
	MaxBytes int
	// MaxRows is how many rows the outbox may hold. Then transactions that append more fail with [store.ErrOutboxFull]: a broker that is away for
	// days should not fill the disk of the database. The number is looked up once a second, so it may be exceeded by what comes in a second. Default 0: no limit.
	MaxRows int
	// MaxAge is how old the oldest row of the outbox may be; see MaxRows. Default 0: no limit.
	MaxAge time.Duration
	// Poll is how long an idle lane waits for news before it looks by itself. Default 250 milliseconds.
	Poll time.Duration
	// Lease is how long a lane stays with an owner that is not heard of. Default 10 seconds.
	Lease time.Duration
	// RotateBytes is how large a part of the outbox may grow before rows go to the next, so that the first can be emptied at once. Default 256 MiB.
	RotateBytes int64
	// RotateEvery is how long rows go to one part of the outbox at most. Default 10 minutes.
	RotateEvery time.Duration
	// Log gets what goes wrong in the background. Default slog.Default.
	Log *slog.Logger
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

func (c Config) withDefaults() (Config, error) {
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"Retention", int64(c.Retention)},
		{"MaxBytes", int64(c.MaxBytes)},
		{"MaxRows", int64(c.MaxRows)},
		{"MaxAge", int64(c.MaxAge)},
		{"Poll", int64(c.Poll)},
		{"Lease", int64(c.Lease)},
		{"RotateBytes", c.RotateBytes},
		{"RotateEvery", int64(c.RotateEvery)},
	} {
		if limit.value < 0 {
			return c, fmt.Errorf("the setting %s must not be negative", limit.name)
		}
	}
	setDefault(&c.Schema, DefaultSchema)
	if !schemaName.MatchString(c.Schema) {
		return c, fmt.Errorf("the schema %q must be lower-case letters, digits and underscores, and not begin with a digit", c.Schema)
	}
	setDefault(&c.Retention, 14*24*time.Hour)
	setDefault(&c.Retries, 3)
	setDefault(&c.MaxBytes, 16<<20)
	setDefault(&c.Poll, 250*time.Millisecond)
	setDefault(&c.Lease, 10*time.Second)
	setDefault(&c.RotateBytes, 256<<20)
	setDefault(&c.RotateEvery, 10*time.Minute)
	setDefault(&c.Log, slog.Default())
	return c, nil
}

// setDefault gives a field that is zero its default.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
