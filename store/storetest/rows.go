package storetest

import (
	"bytes"
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

func rowScenarios() []scenario {
	return []scenario{
		on("rows/everything comes back as it was", valuesRoundTrip),
		on("rows/huge and empty ones", hugeAndEmpty),
		on("rows/a dead row is there once", deadOnce),
		on("rows/dead rows without identity are all kept", deadWithoutIdentity),
		on("rows/moving", moving),
		on("rows/moving what a reader holds", movingWhatIsHeld),
		on("rows/list filters", listFilters),
		on("rows/list reads many", listMany),
		on("rows/wrong states are refused", wrongStates),
	}
}

// strange strings must come back as they are.
func strange() []string {
	return []string{"", "plain", "ünïcødé ✓ 日本", "with\x00zero", "not \xff UTF-8", "'; DROP TABLE x; --", "$1 ?1 :a @b", strings.Repeat("long", 2000)}
}

func valuesRoundTrip(b *bench) {
	var want []store.Row
	for _, s := range strange() {
		want = append(want, store.Row{
			Record: broker.Record{
				Topic: "t" + s, Key: s, ID: s,
				Headers: []broker.Header{{Name: "name" + s, Value: s}, {Name: "empty"}, {Name: "again", Value: s}, {Name: "again", Value: s + "2"}},
				Value:   []byte(s),
			},
			Queue: "q" + s, Source: s, MessageID: s, State: store.Dead, History: []byte(`[{"error":"` + s + `"}]`),
		})
	}
	before := time.Now()
	b.append(want...)
	got := b.replica().list(store.Filter{})
	if len(got) != len(want) {
		b.Fatalf("%d rows came back, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Created.Before(before.Add(-time.Second)) || got[i].Created.After(time.Now().Add(time.Second)) {
			b.Errorf("a row says that it was created at %v, want about %v", got[i].Created, before)
		}
		if got[i].ID == 0 || !sameRow(got[i], want[i]) {
			b.Errorf("row %d came back as %+v, want %+v", i, got[i], want[i])
		}
	}
	for _, r := range want[:3] {
		r.State = store.Ready
		b.append(r)
		got := b.take(r.Queue, 1, all)[0].Record
		if !sameRow(store.Row{Record: got}, store.Row{Record: r.Record}) {
			b.Errorf("a lane offered %+v, want %+v", got, r.Record)
		}
	}
}

// sameRow compares all but what the store sets; nil and empty are the same.
func sameRow(got, want store.Row) bool {
	if !bytes.Equal(got.Record.Value, want.Record.Value) || !bytes.Equal(got.History, want.History) {
		return false
	}
	for _, r := range []*store.Row{&got, &want} {
		r.ID, r.Created, r.Record.Value, r.History = 0, time.Time{}, nil, nil
		if len(r.Record.Headers) == 0 {
			r.Record.Headers = nil
		}
	}
	return reflect.DeepEqual(got, want)
}

func hugeAndEmpty(b *bench) {
	huge := make([]byte, 1<<20)
	for i := range huge {
		huge[i] = byte(rand.Uint32())
	}
	b.append(row("k", string(huge)), row("k", ""), store.Row{}, row("k", string(huge)))
	got := b.list(store.Filter{})
	if len(got) != 4 {
		b.Fatalf("%d rows came back, want 4", len(got))
	}
	for i, want := range [][]byte{huge, {}, {}, huge} {
		if !bytes.Equal(got[i].Record.Value, want) {
			b.Errorf("value %d has %d bytes and differs from what was written, of %d bytes", i, len(got[i].Record.Value), len(want))
		}
	}
	b.take("", 4, all)
	b.wantValues()
}

// dead is a dead letter of a subscription.
func dead(queue, source, id, value string) store.Row {
	r := row("k", value)
	r.Queue, r.State, r.Source, r.MessageID, r.History = queue, store.Dead, source, id, []byte(`[]`)
	return r
}

func deadOnce(b *bench) {
	b.append(dead("q", "/s", "1", "first"))
	b.append(dead("q", "/s", "1", "again"), dead("q", "/s", "2", "other id"), dead("q", "/s", "2", "other id again"))
	b.append(dead("q", "/t", "1", "other source"), dead("p", "/s", "1", "other queue"))
	ready := dead("q", "/s", "1", "ready ones may repeat")
	ready.State = store.Ready
	b.append(ready, ready)
	b.wantValues("first", "other id", "other source", "other queue", "ready ones may repeat", "ready ones may repeat")

	rows := b.list(store.Filter{States: []store.State{store.Ready}})
	if n := b.move(store.Dead, rows[0].ID, rows[1].ID); n != 2 {
		b.Errorf("Move found %d rows, want 2", n)
	}
	if n := len(b.list(store.Filter{Queues: []string{"q"}})); n != 3 {
		b.Errorf("queue q has %d rows after its row was moved to where its like is dead already, want 3", n)
	}
}

func deadWithoutIdentity(b *bench) {
	b.append(dead("q", "", "", "1"), dead("q", "", "", "2"))
	b.wantValues("1", "2")
}

func moving(b *bench) {
	b.append(dead("q", "/s", "1", "1"), dead("q", "/s", "2", "2"), dead("q", "/s", "3", "3"))
	rows := b.list(store.Filter{})
	if n := b.move(store.Ready, rows[2].ID, rows[1].ID, 999999); n != 2 {
		b.Errorf("Move found %d rows, want 2", n)
	}
	b.wantTaken(b.take("q", 2, none), "2", "3")
	b.wantValues("1", "2", "3")

	back := b.list(store.Filter{States: []store.State{store.Ready}})
	if n := b.move(store.Dead, back[0].ID, back[1].ID); n != 2 {
		b.Errorf("Move found %d rows, want 2", n)
	}
	if n := len(b.list(store.Filter{States: []store.State{store.Dead}})); n != 3 {
		b.Errorf("%d rows are dead, want 3", n)
	}
	if n := b.move(store.Gone, rows[0].ID, back[1].ID, back[1].ID); n != 2 {
		b.Errorf("Move found %d rows, want 2", n)
	}
	if n := b.move(store.Gone); n != 0 {
		b.Errorf("Move of nothing found %d rows", n)
	}
	b.wantValues("2")
}

func movingWhatIsHeld(b *bench) {
	b.append(rows("1", "2", "3")...)
	b.lane(func(ctx context.Context, p broker.Partition) {
		deliveries, err := p.Fetch(ctx, 2, 1<<20)
		if err != nil || len(deliveries) != 2 {
			b.Errorf("Fetch returned %d rows and the error %v", len(deliveries), err)
			return
		}
		id := int64(deliveries[0].Sequence)
		if n := b.move(store.Ready, id); n != 1 {
			b.Errorf("moving a ready row to ready found %d rows, want 1", n)
		}
		b.move(store.Dead, id)
		if err := p.Settle(ctx, broker.Settlement{Done: chosen(deliveries, all)}); err != nil {
			b.Errorf("settle: %v", err)
		}
	})
	b.wantValues("1", "3")
	if rows := b.list(store.Filter{States: []store.State{store.Dead}}); len(rows) != 1 {
		b.Errorf("%d rows are dead, want the one that was moved before it was settled", len(rows))
	}
}

func listFilters(b *bench) {
	b.append(row("a", "1"), row("b", "2"), dead("q", "/s", "1", "3"), dead("p", "/s", "1", "4"), dead("q", "/s", "2", "5"))
	ids := b.list(store.Filter{})
	for _, c := range []struct {
		f    store.Filter
		want []string
	}{
		{store.Filter{}, []string{"1", "2", "3", "4", "5"}},
		{store.Filter{Queues: []string{""}}, []string{"1", "2"}},
		{store.Filter{Queues: []string{"q", ""}}, []string{"1", "2", "3", "5"}},
		{store.Filter{Queues: []string{}}, []string{}},
		{store.Filter{Queues: []string{"none"}}, []string{}},
		{store.Filter{States: []store.State{store.Dead}}, []string{"3", "4", "5"}},
		{store.Filter{States: []store.State{store.Dead, store.Ready}}, []string{"1", "2", "3", "4", "5"}},
		{store.Filter{States: []store.State{}}, []string{}},
		{store.Filter{Key: "k"}, []string{"3", "4", "5"}},
		{store.Filter{Key: "a"}, []string{"1"}},
		{store.Filter{After: ids[1].ID}, []string{"3", "4", "5"}},
		{store.Filter{After: ids[4].ID}, []string{}},
		{store.Filter{Limit: 2}, []string{"1", "2"}},
		{store.Filter{Queues: []string{"q"}, States: []store.State{store.Dead}, Key: "k", After: ids[0].ID, Limit: 1}, []string{"3"}},
	} {
		if got := valuesOf(b.list(c.f)); !slices.Equal(got, c.want) {
			b.Errorf("List(%+v) read %q, want %q", c.f, got, c.want)
		}
	}
}

func listMany(b *bench) {
	const many = 700
	all := make([]store.Row, many)
	for i := range all {
		all[i] = row("k", "x")
	}
	b.append(all...)
	for _, limit := range []int{0, 1, 255, 256, 257, 512, many, many + 1} {
		want := many
		if limit > 0 {
			want = min(limit, many)
		}
		if n := len(b.list(store.Filter{Limit: limit})); n != want {
			b.Errorf("List with the limit %d read %d rows, want %d", limit, n, want)
		}
	}
	n := 0
	for _, err := range b.s.List(b.ctx, store.Filter{}) {
		b.must(err)
		if n++; n == 300 {
			break
		}
	}
	b.append(row("k", "after a list that was left early"))

	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	for _, err := range b.s.List(ctx, store.Filter{}) {
		if err != nil {
			return
		}
	}
	b.Errorf("List with a context that had ended gave no error")
}

func wrongStates(b *bench) {
	gone := row("k", "gone")
	gone.State = store.Gone
	err := b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, gone) })
	if err == nil {
		b.Errorf("a row was appended in the state gone")
	}
	err = b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
		_, moved := tx.StoreTx().Move(ctx, store.State(17), 1)
		return moved
	})
	if err == nil {
		b.Errorf("a row was moved to a state that does not exist")
	}
	b.wantValues()
}
