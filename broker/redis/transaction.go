package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"
)

// errChanged says that a transaction did nothing, because its guard was changed meanwhile.
var errChanged = errors.New("somebody else was faster")

// transaction is some commands that are done together, or not at all when the guard is not what it must be. The guard is looked at first,
// and whoever changes it later makes the commands come to nothing, also if they linger on the way of a broken connection. The
// commands are those of Redis, at its full speed; a script would take twice the server's time for as many entries.
type transaction struct {
	guard string // a key
	// look reads the guard, and agree says whether to go on.
	look  goredis.Cmder
	agree func() error
	do    []goredis.Cmder
}

// run does the commands once. After an error other than errChanged and those of agree they may have been done all the same.
func (t *transaction) run(ctx context.Context, b *Broker) error {
	node, err := b.node(ctx, t.guard)
	if err != nil {
		return err
	}
	return node.Watch(ctx, func(tx *goredis.Tx) error {
		watching := true
		defer func() {
			if watching {
				_ = tx.Unwatch(ctx).Err() // the connection is used by others next
			}
		}()
		first := tx.Pipeline()
		first.Do(ctx, "watch", t.guard) // in one round trip with the look
		_ = first.Process(ctx, t.look)
		if _, err := first.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
			return err
		}
		if err := t.agree(); err != nil {
			return err
		}
		pipe := tx.TxPipeline()
		for _, c := range t.do {
			_ = pipe.Process(ctx, c)
		}
		_, err := pipe.Exec(ctx)
		if err == nil || errors.Is(err, goredis.TxFailedErr) || goredis.IsExecAbortError(err) {
			watching = false
		}
		switch {
		case errors.Is(err, goredis.TxFailedErr):
			return errChanged
		case goredis.IsExecAbortError(err):
			return t.refusal(err)
		}
		return err
	})
}

// refusal is why the server did not take one of the commands, and so did none.
func (t *transaction) refusal(err error) error {
	for _, c := range t.do {
		if because := c.Err(); because != nil && !goredis.IsExecAbortError(because) {
			return because
		}
	}
	return err
}
