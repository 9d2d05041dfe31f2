package storetest

import (
	"slices"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

func dueScenarios() []scenario {
	return []scenario{
		on("due/a scheduled row waits", scheduledWaits),
		on("due/at release the order is that of due, then id", releaseOrder),
		on("due/a scheduled row can be cancelled, and then it is too late", cancelScheduled),
		on("due/a scheduled row can be released before its time", releaseEarly),
	}
}

func scheduled(value string, due time.Time) store.Row {
	r := row("k", value)
	r.Due = due
	return r
}

func scheduledWaits(b *bench) {
	due := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	b.append(scheduled("in an hour", due), row("k", "now"), scheduled("an hour ago", time.Now().Add(-time.Hour)))
	b.wantTaken(b.take("", 2, all), "now", "an hour ago")
	left := b.list(store.Filter{})
	if len(left) != 1 || !left[0].Due.Equal(due) || left[0].State != store.Ready {
		b.Fatalf("what is left is %+v, want the row that is due at %v", left, due)
	}
}

func releaseOrder(b *bench) {
	soon := time.Now().Add(300 * time.Millisecond)
	later := soon.Add(50 * time.Millisecond)
	b.append(scheduled("later 1", later), scheduled("soon 1", soon), scheduled("later 2", later), scheduled("soon 2", soon))
	b.append(row("k", "now"))
	b.wantTaken(b.take("", 5, all), "now", "soon 1", "soon 2", "later 1", "later 2")
	if late := time.Since(later); late < 0 {
		b.Errorf("the last row came %v too early", -late)
	}
	b.wantValues()
}

func cancelScheduled(b *bench) {
	b.append(scheduled("cancelled", time.Now().Add(time.Hour)), scheduled("released", time.Now().Add(100*time.Millisecond)))
	rows := b.list(store.Filter{})
	if n := b.move(store.Gone, rows[0].ID); n != 1 {
		b.Errorf("cancelling found %d rows, want 1", n)
	}
	if n := b.move(store.Gone, rows[0].ID); n != 0 {
		b.Errorf("cancelling again found %d rows, want 0", n)
	}
	b.wantTaken(b.take("", 1, none), "released")
	if n := b.move(store.Gone, rows[1].ID); n != 0 {
		b.Errorf("cancelling after the release found %d rows, want 0: it is too late", n)
	}
	b.wantTaken(b.take("", 1, all), "released")
}

func releaseEarly(b *bench) {
	b.append(scheduled("early", time.Now().Add(time.Hour)), row("k", "first"))
	if n := b.move(store.Ready, b.list(store.Filter{})[0].ID); n != 1 {
		b.Errorf("releasing found %d rows, want 1", n)
	}
	b.wantTaken(b.take("", 2, func(d broker.Delivery) bool { return slices.Contains([]string{"early", "first"}, string(d.Value)) }), "first", "early")
	b.wantValues()
}
