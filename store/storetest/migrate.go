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

func migrateTwice(t testing.TB, f Fixture) {
	t.Helper()
	b := newBench(t, f)
	b.append(row("k", "kept"))
	b.must(b.s.Migrate(b.ctx))
	b.must(b.replica().s.Migrate(b.ctx))
	b.wantValues("kept")
}

func migrateTogether(t testing.TB, f Fixture) {
	t.Helper()
	stores := make([]store.Store, 10)
	var together sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range stores {
		together.Go(func() {
			stores[i] = f.Open(t)
			if err := stores[i].Migrate(ctx); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	together.Wait()
	b := &bench{TB: t, Fixture: f, ctx: ctx, s: stores[0]}
	b.append(row("k", "1"))
	b.wantTaken(b.take("", 1, all), "1")
}
