package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/tidings-go/tidings/store"
)

func statusScenarios() []scenario {
	return []scenario{
		on("status/counts what each queue holds", statusCounts),
		{"status/before and after Migrate", statusVersions},
	}
}

// status asks the store's other port, which every adapter has.
func (b *bench) status() store.Status {
	b.Helper()
	admin, ok := b.s.(store.Admin)
	if !ok {
		b.Fatal("the store does not implement store.Admin")
	}
	s, err := admin.Status(b.ctx)
	b.must(err)
	return s
}

func statusCounts(b *bench) {
	if s := b.status(); len(s.Queues) != 0 {
		b.Fatalf("an empty store has the queues %+v", s.Queues)
	}
	before := b.status().LastID
	scheduled := row("k", "later")
	scheduled.Due = time.Now().Add(time.Hour)
	b.append(row("k", "1"), row("k", "2"), scheduled, dead("", "/s", "1", "dead"), dead("shop.mailer", "/s", "1", "dead"))
	b.move(store.Held, b.ids(store.Ready)[1])
	s := b.status()
	if len(s.Queues) != 2 {
		b.Fatalf("the queues are %+v, want two", s.Queues)
	}
	outbox, mailer := s.Queues[0], s.Queues[1]
	if age := time.Since(outbox.Oldest); age < -time.Second || age > patience {
		b.Errorf("the oldest row is %v old", age)
	}
	outbox.Oldest = time.Time{}
	if outbox != (store.QueueStatus{Ready: 1, Scheduled: 1, Dead: 1, Held: 1}) {
		b.Errorf("the outbox holds %+v", outbox)
	}
	if mailer != (store.QueueStatus{Queue: "shop.mailer", Dead: 1}) {
		b.Errorf("the queue shop.mailer holds %+v", mailer)
	}
	if s.LastID < before+5 {
		b.Errorf("the last id went from %d to %d by five rows", before, s.LastID)
	}
}

func statusVersions(tb testing.TB, f Fixture) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	s := f.Open(tb)
	admin, ok := s.(store.Admin)
	if !ok {
		tb.Fatal("the store does not implement store.Admin")
	}
	before, err := admin.Status(ctx)
	if err != nil || before.Version != 0 {
		tb.Errorf("before Migrate the status is %+v, %v", before, err)
	}
	if err = s.Migrate(ctx); err != nil {
		tb.Fatal(err)
	}
	after, err := admin.Status(ctx)
	if err != nil || after.Version != after.Latest || after.Latest != before.Latest {
		tb.Errorf("after Migrate the status is %+v, %v", after, err)
	}
	if (admin.Script() == "") != (after.Latest == 0) {
		tb.Errorf("a store of version %d has the script %q", after.Latest, admin.Script())
	}
}
