// Package lease divides named things (the partitions of a topic, say) over the members that are alive, over one cell that
// knows compare-and-swap. Whatever has such a cell can divide work: a key of a NATS bucket, a Redis key, a row of a database.
//
//	err := lease.Run(ctx, register, lease.Config{Names: []string{"0", "1", "2"}}, func(ctx context.Context, l lease.Lease) {
//		for {
//			select {
//			case <-ctx.Done():
//				return // lost: somebody else may be the owner already
//			case <-l.Stop:
//				return // finish what was begun, then return: the next owner starts the moment after
//			case job := <-jobs(l.Name):
//				work(ctx, l.Epoch, job)
//			}
//		}
//	})
//
// Each name has one owner at a time, and each change of owner has a greater epoch, so that what is behind a name can refuse
// a late owner (fencing). No two clocks are ever compared. Each member writes a counter, its beat, into the cell; who sees
// that a beat has stood still for the TTL of its own clock takes that member's names. A member that could not write a beat
// gives up earlier, counted from before it sent the last one that arrived, so that its contexts end before anybody takes over.
//
// A machine that was suspended notices when it wakes: the owner trusts whichever of its monotonic clock and its wall clock has
// gone further, so a wall clock that jumps ahead costs at most a hand-over. Until it wakes nothing but the epoch protects.
package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// ErrConflict says that a cell has changed since the version that a swap was based on.
var ErrConflict = errors.New("the cell has changed")

// Register is one cell. It is safe for concurrent use.
type Register interface {
	// Load reads the cell. Version 0 means that it does not exist yet.
	Load(ctx context.Context) (value []byte, version uint64, err error)
	// Swap writes the cell if version is still its version, and fails with [ErrConflict] otherwise. After any other error the
	// value may have been written all the same.
	Swap(ctx context.Context, value []byte, version uint64) (newVersion uint64, err error)
}

// Config says who divides what. All members of one cell must have the same TTL.
type Config struct {
	// Names are what is divided. Required.
	Names []string
	// Member begins this member's name in the cell; something random follows. Default "member".
	Member string
	// Exclusive says that no other process can be alive (it holds a lock, say): members that do not begin with this Config's Member are
	// dead, and their names are taken at once.
	Exclusive bool
	// TTL is how long a member that is gone keeps its names. Default 10 seconds.
	TTL time.Duration
	// Renew is how often a member writes its beat. Default a third of the TTL; it must be less than half of it.
	Renew time.Duration
	// Poll is how often a member reads the cell to see who came and went. Default a tenth of the TTL.
	Poll time.Duration
	// Log gets what goes wrong on the way. Default slog.Default.
	Log *slog.Logger

	family string // Member, as it was given
}

// Lease is one name, owned.
type Lease struct {
	Name string
	// Epoch grows with each change of the name's owner.
	Epoch uint64
	// Stop is closed when the name should be given up in good order: finish, then return.
	Stop <-chan struct{}
}

// Run keeps this process in the cell, claims its share of the names (all members have the same number, give or take one) and
// calls each for every name that it holds, concurrently. It blocks until ctx has ended and every call has returned.
//
// The context of a call ends when the lease is lost, or after the call has returned; the end of ctx only closes Stop.
// A call that returns gives its name back. Run fails only if cfg is wrong: a cell that can't be reached is tried again for ever.
func Run(ctx context.Context, reg Register, cfg Config, each func(ctx context.Context, l Lease)) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	newMember(ctx, reg, cfg, each).run(ctx)
	return nil
}

func (c Config) withDefaults() (Config, error) {
	if len(c.Names) == 0 {
		return c, errors.New("lease: Config.Names is empty: there is nothing to divide")
	}
	c.Names = slices.Compact(slices.Sorted(slices.Values(c.Names)))
	if c.TTL < 0 || c.Renew < 0 || c.Poll < 0 {
		return c, fmt.Errorf("lease: TTL %v, Renew %v and Poll %v must not be negative", c.TTL, c.Renew, c.Poll)
	}
	if c.TTL == 0 {
		c.TTL = 10 * time.Second
	}
	if c.Renew == 0 {
		c.Renew = c.TTL / 3
	}
	if c.Renew*2 > c.TTL {
		return c, fmt.Errorf("lease: Renew %v must be at most half of TTL %v, or a lease is lost when one renewal is late", c.Renew, c.TTL)
	}
	if c.Poll == 0 {
		c.Poll = c.TTL / 10
	}
	if c.Member == "" {
		c.Member = "member"
	}
	c.family = c.Member + "-"
	c.Member = c.family + rand.Text()
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c, nil
}
