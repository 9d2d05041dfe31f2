package storetest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-go/tidings/store"
)

func claimScenarios() []scenario {
	return []scenario{
		on("claim/first, then again", claimAgain),
		on("claim/ids of any shape", claimAnyShape),
		on("claim/ids of any age, and of several sources", claimAnyAge),
		on("claim/a batch in one transaction", claimBatch),
		on("claim/at the same time", claimConcurrently),
		on("claim/the second waits for the first", claimWaits),
		on("claim/Save needs Claim", saveNeedsClaim),
	}
}

// claim claims in a transaction of its own and returns what came.
func (b *bench) claim(space, id string) (first bool, saved []byte) {
	b.Helper()
	b.tx(func(tx store.Tx) (err error) {
		first, saved, err = tx.Claim(b.ctx, space, id)
		return err
	})
	return first, saved
}

func (b *bench) wantFirst(space, id string) {
	b.Helper()
	if first, saved := b.claim(space, id); !first || saved != nil {
		b.Errorf("claim of %.40q in %q: first %v, saved %q; want the first", id, space, first, saved)
	}
}

func (b *bench) wantAgain(space, id, want string) {
	b.Helper()
	if first, saved := b.claim(space, id); first || string(saved) != want {
		b.Errorf("claim of %.40q in %q: first %v, saved %q; want not the first, and %q", id, space, first, saved, want)
	}
}

func claimAgain(b *bench) {
	b.tx(func(tx store.Tx) error {
		first, _, err := tx.Claim(b.ctx, "space", "1")
		b.must(err)
		if !first {
			b.Errorf("the first claim is not the first")
		}
		b.must(tx.Save(b.ctx, "space", "1", []byte("half")))
		b.must(tx.Save(b.ctx, "space", "1", []byte("result")))
		first, saved, err := tx.Claim(b.ctx, "space", "1")
		if first || string(saved) != "result" {
			b.Errorf("claimed twice in one transaction: first %v, saved %q", first, saved)
		}
		return err
	})
	b.replica().wantAgain("space", "1", "result")
	b.wantFirst("other", "1")
	b.wantFirst("space", "2")
	b.wantAgain("space", "2", "")
}

func claimAnyShape(b *bench) {
	for _, id := range strange() {
		b.wantFirst("space", id)
		b.wantAgain("space", id, "")
		b.wantFirst("space"+id+"x", id)
	}
	b.wantFirst("space", "01")
	b.wantFirst("space", "1")
	b.wantFirst("space", "1.0")
}

// claimAnyAge uses ids as the root package writes them: source, space, message id. Stores may look at the time in a UUIDv7; whatever they
// make of it, each id is claimed once.
func claimAnyAge(b *bench) {
	other := b.replica()
	uuid := func(at time.Time, version int) string {
		stamp := fmt.Sprintf("%012x", at.UnixMilli())
		return fmt.Sprintf("%s-%s-%d000-8000-00000000000a", stamp[:8], stamp[8:], version)
	}
	ids := []string{"1", "FFFFFFFF-FFFF-7FFF-BFFF-FFFFFFFFFFFF", uuid(time.Now(), 4)}
	for _, at := range []time.Time{time.UnixMilli(0), time.Now(), time.Now().Add(-24 * time.Hour), time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC)} {
		ids = append(ids, uuid(at, 7), strings.ToUpper(uuid(at, 7)))
	}
	for _, id := range ids {
		for _, source := range []string{"", "/shop ", "/tickets ", "/with space and " + id + " ", "/shop\x00"} {
			b.wantFirst("group", source+id)
			other.wantAgain("group", source+id, "")
			b.wantFirst("other group", source+id)
			b.tx(func(tx store.Tx) error { return tx.Save(b.ctx, "group", source+id, []byte(source)) })
			other.wantAgain("group", source+id, source)
		}
	}
}

func claimBatch(b *bench) {
	const size = 100
	b.wantFirst("space", "7")
	b.tx(func(tx store.Tx) error {
		for i := range size {
			first, _, err := tx.Claim(b.ctx, "space", strconv.Itoa(i))
			if err != nil {
				return err
			}
			if first == (i == 7) {
				b.Errorf("id %d: first %v", i, first)
			}
		}
		return nil
	})
	for i := range size {
		b.wantAgain("space", strconv.Itoa(i), "")
	}
}

// claimConcurrently lets many claim the same ids at once; some of them fail afterwards. Each id is claimed for good exactly once.
func claimConcurrently(b *bench) {
	const claimers, ids = 8, 25
	benches := []*bench{b, b.replica()}
	var firsts [ids]atomic.Int64
	var claiming sync.WaitGroup
	for c := range claimers {
		on := benches[c%2]
		claiming.Go(func() {
			for i := range ids {
				var first bool
				err := on.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) (err error) {
					first, _, err = tx.StoreTx().Claim(ctx, "space", strconv.Itoa(i))
					if err == nil && c%4 == 3 {
						return errUser
					}
					return err
				})
				if err == nil && first {
					firsts[i].Add(1)
				}
			}
		})
	}
	claiming.Wait()
	for i := range firsts {
		if n := firsts[i].Load(); n != 1 {
			b.Errorf("id %d was claimed for the first time by %d transactions that committed, want 1", i, n)
		}
	}
}

// claimWaits starts a second claim while the first is not committed yet.
func claimWaits(b *bench) {
	for i, result := range []error{nil, errUser} {
		id := fmt.Sprint("waits ", i)
		other := b.replica()
		var second sync.WaitGroup
		var committed atomic.Bool
		_ = b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
			first, _, err := tx.StoreTx().Claim(ctx, "space", id)
			if !first || err != nil {
				b.Errorf("first claim: %v, %v", first, err)
			}
			second.Go(func() {
				first, saved := other.claim("space", id)
				if !committed.Load() {
					b.Errorf("the second claim did not wait")
				}
				if want := result != nil; first != want || (result == nil && string(saved) != "result") {
					b.Errorf("after the end with %v the second claim returned first %v, saved %q", result, first, saved)
				}
			})
			err = tx.StoreTx().Save(ctx, "space", id, []byte("result"))
			if err != nil {
				b.Errorf("save: %v", err)
			}
			committed.Store(true) // From here on the second may go on, as soon as the store lets it.
			return result
		})
		second.Wait()
	}
}

func saveNeedsClaim(b *bench) {
	err := b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
		return tx.StoreTx().Save(ctx, "space", "never claimed", []byte("x"))
	})
	if err == nil {
		b.Errorf("a value was saved for an id that nobody claimed")
	}
}
