package storetest

import (
	"context"
	"sync"
	"testing"

	"github.com/tidings-go/tidings/store"
)

func migrateScenarios() []scenario {
	return []scenario{
		{"migrate/twice", migrateTwice},
		{"migrate/ten at once", migrateTogether},
	}
}

func migrateTwice(tb testing.TB, f Fixture) {
	tb.Helper()
	b := newBench(tb, f)
	b.append(row("k", "kept"))
	b.must(b.s.Migrate(b.ctx))
	b.must(b.replica().s.Migrate(b.ctx))
	b.wantValues("kept")
}

func migrateTogether(tb testing.TB, f Fixture) {
	tb.Helper()
	stores := make([]store.Store, 10)
	var together sync.WaitGroup
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	for i := range stores {
		together.Go(func() {
			stores[i] = f.Open(tb)
			if err := stores[i].Migrate(ctx); err != nil {
				tb.Errorf("migrate: %v", err)
			}
		})
	}
	together.Wait()
	b := &bench{TB: tb, Fixture: f, ctx: ctx, s: stores[0]}
	b.append(row("k", "1"))
	b.wantTaken(b.take("", 1, all), "1")
}
